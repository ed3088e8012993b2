"""What decoders say against pictures, and which pictures of a film that condemns."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from edge.capture.complaints import Film

SAID = """
import os, sys
from edge.capture.complaints import Complaints
kept = os.dup(1)
complaints = Complaints()
os.write(2, sys.stdin.buffer.read())
first = complaints.take()
os.write(2, b"[OPENCV:FFMPEG:16] again\\n")
os.write(kept, repr((first, complaints.lines(), complaints.take(), complaints.take())).encode())
"""


@pytest.mark.parametrize(
    ("line", "damage"),
    [
        ("[OPENCV:FFMPEG:16] error while decoding MB 3 3", ["error while decoding MB 3 3"]),
        ("[OPENCV:FFMPEG:8] out of memory", ["out of memory"]),
        ("[OPENCV:FFMPEG:24] HTTP error 404 Not Found", []),
        ("[ WARN:0@6.563] global cap_ffmpeg_impl.hpp:453 Stream timeout triggered", []),
        ("Corrupt JPEG data: 1 extraneous bytes before marker 0xd9", []),
        (
            "Corrupt JPEG data: 175 extraneous bytes before marker 0xd9",
            ["Corrupt JPEG data: 175 extraneous bytes before"],
        ),
        ("Corrupt JPEG data: 2 extraneous bytes before marker 0xd3", ["Corrupt JPEG data: 2 extraneous bytes"]),
        ("Premature end of JPEG file", ["Premature end of JPEG file"]),
    ],
)
def test_what_counts_against_a_picture(line: str, damage: list[str]) -> None:
    command = [sys.executable, "-c", SAID]
    shown = subprocess.run(command, input=f"{line}\n".encode(), capture_output=True, check=True, env=dict(os.environ))
    first, lines, second, third = eval(shown.stdout.decode())  # what the lines above wrote
    assert [one[: len(two)] for one, two in zip(first, damage, strict=True)] == damage
    assert (lines, second, third) == (["again"], ["again"], []), "each is told once"


def judged(*pictures: tuple[str, bool], held_back: int = 0) -> list[bool]:
    film = Film()
    return [film.is_whole(said.split("|") if said else [], is_key, held_back) for said, is_key in pictures]


def test_pictures_that_nobody_complains_about_are_whole() -> None:
    assert judged(("", True), ("", False), ("", False)) == [True, True, True]


def test_what_builds_on_a_damaged_picture_is_damaged_until_a_whole_key_frame() -> None:
    assert judged(("", True), ("torn", False), ("", False), ("", True), ("", False)) == [True, False, False, True, True]
    assert judged(("torn", True), ("", False), ("torn", True), ("", True)) == [False, False, False, True]


def test_packets_before_the_first_key_frame_say_nothing_against_it() -> None:
    assert judged(("no such parameters|no frame!|no frame!", True), ("", False)) == [True, True]
    assert judged(("no frame!|torn", True), ("", False)) == [False, False]


def test_a_packet_that_gave_no_picture_in_the_middle_spoils_the_next_ones() -> None:
    assert judged(("", True), ("no frame!", False), ("", False), ("", True)) == [True, False, False, True]


def test_a_decoder_that_holds_pictures_back_gives_the_key_frame_later() -> None:
    pictures = (("torn", False), ("", False), ("", True), ("", False), ("", False), ("", False))
    assert judged(*pictures, held_back=2) == [False, False, False, False, True, True]
    again = (("torn", False), ("", True), ("torn", False), ("", False), ("", True), ("", False), ("", False))
    assert judged(*again, held_back=1) == [False, False, False, False, False, True, True]
