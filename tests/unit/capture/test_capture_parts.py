"""The pure parts: source strings, reasons and redaction, backoff; and the channel."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.capture.address import SourceKind, parse_source
from edge.capture.backoff import Backoff
from edge.capture.channel import Channel, Gone, Message
from edge.capture.failure import ADVICE, CaptureFailure, CaptureReason, redact
from edge.errors import CaptureError, InputError


@pytest.mark.parametrize(
    ("source", "kind", "target", "live"),
    [
        ("0", SourceKind.DEVICE, "/dev/video0", True),
        ("/dev/video12", SourceKind.DEVICE, "/dev/video12", True),
        ("/dev/v4l/by-id/usb-cam-index0", SourceKind.DEVICE, "/dev/v4l/by-id/usb-cam-index0", True),
        ("/dev/shm/clip.avi", SourceKind.PATH, "/dev/shm/clip.avi", False),
        ("rtsp://u:p@host/1", SourceKind.URL, "rtsp://u:p@host/1", True),
        ("HTTPS://host/a.m3u8", SourceKind.URL, "HTTPS://host/a.m3u8", True),
        ("gst: nvarguscamerasrc ! appsink", SourceKind.PIPELINE, "nvarguscamerasrc ! appsink", True),
        ("synthetic: 640x480", SourceKind.SYNTHETIC, "640x480", True),
        ("synthetic: 640x480 25", SourceKind.SYNTHETIC, "640x480 25", True),
        (" clips/a b.mp4 ", SourceKind.PATH, "clips/a b.mp4", False),
        ("clips", SourceKind.PATH, "clips", False),
        ("99999", SourceKind.PATH, "99999", False),
    ],
)
def test_source_strings(source: str, kind: SourceKind, target: str, live: bool) -> None:
    address = parse_source(source)
    assert (address.kind, address.target, address.is_live) == (kind, target, live)


@pytest.mark.parametrize(
    "source", ["", "  ", "gst:", "synthetic: big", "ftp://host/x", "file:///a.avi", "rtsp://a b", "a\0b", "x" * 5000]
)
def test_source_strings_that_nothing_reads(source: str) -> None:
    with pytest.raises(InputError, match="mend `source`"):
        parse_source(source)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://me:secret@cam/1", "rtsp://***@cam/1"),
        ("rtsp://me:se@cr/et@cam/1", "rtsp://***@cam/1"),
        ("http://cam/video?user=me&token=secret", "http://cam/video?***"),
        ("open 'http://cam/v?pw=secret' failed", "open 'http://cam/v?***' failed"),
        ('rtspsrc location=rtsp://me:secret@cam user-id=secret user-pw="secret word" ! x', "rtspsrc location=rtsp"),
        ("/dev/video0 is fine", "/dev/video0 is fine"),
    ],
)
def test_secrets_are_hidden(text: str, shown: str) -> None:
    hidden = redact(text)
    assert hidden.startswith(shown)
    assert "secret" not in hidden
    assert redact(hidden) == hidden


@given(st.text(st.characters(codec="ascii", exclude_characters=" \n\t\r\f\v\x1c\x1d\x1e\x1f"), min_size=1))
def test_no_password_survives(password: str) -> None:
    failure = CaptureFailure("cam", CaptureReason.AUTH, f"rtsp://user:{password}SECRET@host/1 refused")
    assert "SECRET" not in str(failure)


def test_every_reason_says_what_to_do() -> None:
    assert set(ADVICE) == set(CaptureReason)
    failure = CaptureFailure("cart-1", CaptureReason.STALLED, "no frame for 5000 ms")
    assert isinstance(failure, CaptureError)
    assert str(failure).startswith("camera cart-1: stalled: no frame for 5000 ms; check cable")


def test_backoff_grows_to_its_cap_and_starts_again() -> None:
    backoff = Backoff(seed=3, base_ms=100, cap_ms=1000)
    assert backoff.due(0)
    delays = [backoff.failed(now_ns=0) for _ in range(40)]
    assert all(50 <= delay <= 100 for delay in delays[:1])
    assert all(500 <= delay <= 1000 for delay in delays[4:])
    assert len(set(delays[4:])) > 10  # jitter
    assert backoff.failed(now_ns=0, cap_ms=40) <= 40
    assert backoff.failed(now_ns=0, cap_ms=60_000) <= 1000
    backoff.succeeded()
    assert backoff.due(0)
    assert backoff.failed(now_ns=0) <= 100


@given(st.integers(0, 2**32), st.integers(0, 2**62), st.integers(1, 50))
def test_backoff_is_due_exactly_after_its_delay(seed: int, now_ns: int, failures: int) -> None:
    backoff, twin = Backoff(seed), Backoff(seed)
    for _ in range(failures):
        delay_ms = backoff.failed(now_ns)
        assert twin.failed(now_ns) == delay_ms
    assert backoff.due(now_ns + delay_ms * 1_000_000)
    assert not backoff.due(now_ns + delay_ms * 1_000_000 - 1)


@pytest.mark.parametrize(("base_ms", "cap_ms"), [(0, 10), (20, 10), (-1, 10)])
def test_backoff_refuses_nonsense(base_ms: int, cap_ms: int) -> None:
    with pytest.raises(ValueError, match="expected 0 < base_ms <= cap_ms"):
        Backoff(0, base_ms, cap_ms)


def test_the_channel_carries_messages_descriptors_and_its_end() -> None:
    ours, socket = Channel.pair()
    theirs = Channel(socket)
    assert ours.receive() is None
    descriptor = os.memfd_create("gift")
    theirs.send("ring", descriptor=descriptor, size=3)
    theirs.nudge()
    message = ours.receive()
    assert message is not None
    assert (message.kind, message.fields) == ("ring", {"size": 3})
    assert os.path.sameopenfile(message.descriptor, descriptor)
    assert not os.get_inheritable(message.descriptor)
    assert ours.receive() == Message("nudge")
    ours.nudge()  # never read by the other side
    theirs.send("ended")
    theirs.close()
    assert ours.receive() == Message("ended")  # what was said before the end still arrives
    for act in (ours.receive, ours.nudge, lambda: ours.send("open")):
        with pytest.raises(Gone):
            act()
    ours.close()
    assert ours.fileno() == -1
    with pytest.raises(Gone):
        ours.receive()
    for spent in (descriptor, message.descriptor):
        os.close(spent)


def test_nudges_never_block() -> None:
    ours, socket = Channel.pair()
    with socket:
        for _ in range(5000):
            ours.nudge()
        ours.close()
