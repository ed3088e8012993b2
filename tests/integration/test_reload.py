"""SIGHUP on a running daemon: another bundle between two frames, changed cameras, and refusals that change nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
import samples
import zmq
from faulty_engine import faulty
from test_daemon import EACH, command, run, write_clip

from edge import messages
from edge.bundle import read_bundle


class Cart:
    """A daemon under test: its configuration, its bundles behind a link, and what it publishes."""

    def __init__(self, folder: Path, endpoint: str, subscriber: zmq.Socket) -> None:
        self.folder, self.endpoint, self.subscriber = folder, endpoint, subscriber
        self.config = folder / "cart.yaml"
        self.last_seq: int | None = None
        self.process: subprocess.Popen[str]
        self.errors = ""
        self.seen: list[messages.DecisionMessage] = []
        samples.write_sample_bundle(folder / "v1")
        samples.write_sample_bundle(folder / "v2", count=8)
        self.point_to("v1")
        write_clip(folder / "clip.avi", [0, 1, 2], rate=60)
        self.write()

    def write(self, *cameras: str, more: str = "", device_id: str = "cart-7") -> None:
        lines = cameras or (f"id: basket, source: '{self.folder}/clip.avi', loop: true, realtime: true",)
        self.config.write_text(
            f"device_id: {device_id}\nbundle: {self.folder}/current\ncameras:\n"
            + "".join(f"  - {{{line}}}\n" for line in lines)
            + f"publish: {{decisions: '{self.endpoint}'}}\n{more}"
        )

    def point_to(self, name: str) -> str:
        """Let the link `current` point to a bundle, in one step; return the bundle's id."""
        (self.folder / "next").symlink_to(name)
        os.replace(self.folder / "next", self.folder / "current")
        return read_bundle(self.folder / "current").id

    def hang_up(self) -> None:
        self.process.send_signal(signal.SIGHUP)

    def heard(self) -> Iterator[messages.Message]:
        """Yield what is published, each number once and none missing."""
        while True:
            message = messages.decode(self.subscriber.recv_multipart()[1])
            assert self.last_seq is None or message.seq == self.last_seq + 1, "no gap in seq"
            self.last_seq = message.seq
            self.seen += [message] if isinstance(message, messages.DecisionMessage) else []
            yield message

    def decisions(self, count: int) -> list[messages.DecisionMessage]:
        found: list[messages.DecisionMessage] = []
        for message in self.heard():
            found += [message] if isinstance(message, messages.DecisionMessage) else []
            if len(found) == count:
                break
        return found

    def until_event(self, kind: str) -> tuple[list[messages.DecisionMessage], messages.EventMessage]:
        """Return the decisions up to an event of this kind, and the event."""
        found: list[messages.DecisionMessage] = []
        for message in self.heard():
            if isinstance(message, messages.DecisionMessage):
                found.append(message)
            if isinstance(message, messages.EventMessage) and message.event == kind:
                return found, message
        raise AssertionError

    def until_cameras(self, *camera_ids: str) -> None:
        """Go on until exactly these cameras decide."""
        while {decision.camera_id for decision in self.decisions(40)} != set(camera_ids):
            pass

    def beat(self) -> messages.HealthMessage:
        return next(message for message in self.heard() if isinstance(message, messages.HealthMessage))


@pytest.fixture
def cart(tmp_path: Path, endpoint: str, subscriber: zmq.Socket) -> Cart:
    return Cart(tmp_path, endpoint, subscriber)


@contextmanager
def running(cart: Cart, *arguments: object, make: Callable[..., list[str]] | None = None) -> Iterator[Cart]:
    """The daemon; it must end in order when the test is done."""
    given = ("--config", cart.config, "--await-subscribers", 1, *arguments)
    whole = make(*given) if make else command("daemon", *given)
    with subprocess.Popen(whole, stderr=subprocess.PIPE, text=True) as cart.process:
        try:
            yield cart
        except BaseException:
            cart.process.kill()
            print(cart.process.communicate()[1])
            raise
        cart.process.send_signal(signal.SIGTERM)
        cart.errors = cart.process.communicate(timeout=20)[1]
        assert cart.process.returncode == 0


def test_another_bundle_takes_over_between_two_frames(cart: Cart) -> None:
    first = read_bundle(cart.folder / "v1").id
    with running(cart):
        before = cart.decisions(2 * EACH)
        second = cart.point_to("v2")
        cart.hang_up()
        found, event = cart.until_event("reloaded")
        after = cart.decisions(3 * EACH)
        beat = cart.beat()
    ids = [decision.bundle_id for decision in before + found + after]
    assert ids == sorted(ids, key=[first, second].index), "one and then the other"
    assert set(ids) == {first, second}
    assert {decision.bundle_id for decision in after} == {second}
    assert (event.bundle_id, event.evidence["bundle_before"]) == (second, first)
    assert (beat.bundle_id, beat.reload) == (second, f"done: bundle {first} -> {second}")
    frames = [decision.frame for decision in before + found + after]
    assert frames == list(range(frames[0], frames[0] + len(frames))), "every frame once"
    new = next(decision for decision in found + after if decision.bundle_id == second)
    assert new.looks == 1, "looks with another engine's embeddings do not count"


def test_what_lies_there_while_the_bundle_changes_keeps_its_track(cart: Cart, tmp_path: Path) -> None:
    write_clip(cart.folder / "clip.avi", [1])
    cart.write(more=f"feedback: {{path: {tmp_path}/fb.sqlite, listen: 'ipc://{tmp_path}/truth', audit_share: 1.0}}\n")
    with running(cart):
        before = cart.decisions(EACH)
        cart.point_to("v2")
        cart.hang_up()
        found, _ = cart.until_event("reloaded")
        after = cart.decisions(EACH)
    assert {decision.track for decision in before + found + after} == {before[0].track}, "charged for once"
    assert sum(decision.audit for decision in before + found + after) == 1, "drawn once"
    new = [decision for decision in found + after if decision.bundle_id != before[0].bundle_id]
    assert [decision.looks for decision in new] == list(range(1, len(new) + 1))
    assert [decision.route for decision in new[:3]] == ["verify", "verify", "accept"]


def test_the_memory_of_the_old_bundle_is_given_back(cart: Cart) -> None:
    samples.write_sample_bundle(cart.folder / "v2", count=20_000)
    cart.write("id: basket, source: 'synthetic: 96x96'")
    with running(cart):
        cart.decisions(1)
        resident = []
        for name in ("v2", "v1") * 4:
            cart.point_to(name)
            cart.hang_up()
            cart.until_event("reloaded")
            if name == "v1":
                resident.append(cart.beat().resident_mib)
    assert resident[-1] < resident[0] + 15, "it does not grow with every change"


def damaged(cart: Cart) -> str:
    raw = bytearray((cart.folder / "v2" / "table.npz").read_bytes())
    raw[300] ^= 1
    (cart.folder / "v2" / "table.npz").write_bytes(raw)
    return "table.npz"


def of_another_processor(cart: Cart) -> str:
    shutil.rmtree(cart.folder / "v2")
    samples.write_sample_bundle(cart.folder / "v2", golden_rows=lambda rows: np.roll(rows, 1, axis=1))
    return "a golden crop comes out with cosine"


def too_large(cart: Cart) -> str:
    shutil.rmtree(cart.folder / "v2")
    samples.write_sample_bundle(cart.folder / "v2", network_mib=1e7)
    return "beside the bundle in use"


def gone(cart: Cart) -> str:
    shutil.rmtree(cart.folder / "v2")
    return "expected the folder of a bundle"


@pytest.mark.parametrize("spoil", [damaged, of_another_processor, too_large, gone])
def test_a_bundle_that_cannot_be_used_changes_nothing(cart: Cart, spoil: Callable[[Cart], str]) -> None:
    with running(cart):
        before = cart.decisions(EACH)
        cart.point_to("v2")
        said = spoil(cart)
        cart.hang_up()
        found, event = cart.until_event("reload_failed")
        after = cart.decisions(4)
        beat = cart.beat()
        cart.point_to("v1")
        cart.hang_up()
        while cart.beat().reload != "done: nothing changed":
            pass
    assert said in event.summary
    assert said in beat.reload
    assert beat.reload.startswith("failed: ")
    assert {decision.bundle_id for decision in before + found + after} == {before[0].bundle_id}


@pytest.mark.parametrize(
    ("more", "device_id", "said"),
    [
        ("", "cart-8", "device_id changed"),
        ("metrics: {listen: '127.0.0.1:1'}\n", "cart-7", "metrics changed"),
        ("publish: {decisions: 'ipc:///nowhere'}\n", "cart-7", "stands twice"),
        ("extra: 1\n", "cart-7", "extra: unknown key"),
    ],
)
def test_a_configuration_that_cannot_be_taken_over_changes_nothing(
    cart: Cart, more: str, device_id: str, said: str
) -> None:
    with running(cart):
        before = cart.decisions(2)
        cart.point_to("v2")
        cart.write("id: other, source: 'synthetic: 96x96'", more=more, device_id=device_id)
        cart.hang_up()
        found, event = cart.until_event("reload_failed")
        after = cart.decisions(4)
    assert said in event.summary
    assert {decision.bundle_id for decision in before + found + after} == {before[0].bundle_id}
    assert {decision.camera_id for decision in before + found + after} == {"basket"}


def test_cameras_come_change_and_go_and_the_others_do_not_notice(cart: Cart) -> None:
    stays = f"id: stays, source: '{cart.folder}/clip.avi', loop: true, realtime: true"
    cart.write(stays, "id: changes, source: 'synthetic: 96x96'", "id: goes, source: 'synthetic: 64x64'")
    with running(cart):
        while {decision.camera_id for decision in cart.seen} != {"stays", "changes", "goes"}:
            cart.decisions(1)
        cart.write(stays, "id: changes, source: 'synthetic: 64x48', looks: 2", "id: comes, source: 'synthetic: 48x48'")
        cart.hang_up()
        _, event = cart.until_event("reloaded")
        cart.until_cameras("stays", "changes", "comes")
        beat = cart.beat()
        cart.write(stays, "id: goes, source: 'synthetic: 64x64'")
        cart.hang_up()
        cart.until_event("reloaded")
        cart.until_cameras("stays", "goes")
    found = cart.seen
    assert event.summary == "reload done: cameras"
    assert [camera.id for camera in beat.cameras] == ["stays", "changes", "comes"]
    frames = [decision.frame for decision in found if decision.camera_id == "stays"]
    assert frames == list(range(frames[0], frames[0] + len(frames))), "not one lost"
    for camera_id in ("changes", "goes"):
        frames = [decision.frame for decision in found if decision.camera_id == camera_id]
        assert frames == sorted(set(frames)), "numbers go on, also of a camera that comes back"
    left = {decision.track for decision in found if decision.camera_id == "goes" and decision.seq < event.seq}
    back = {decision.track for decision in found if decision.camera_id == "goes" and decision.seq > event.seq}
    assert min(back) > max(left), "what it sees then is nothing that it saw before"
    assert {decision.region.width for decision in found if decision.camera_id == "changes"} == {96, 64}


def test_a_live_camera_whose_frames_do_not_fit_its_slots_fails_alone(cart: Cart) -> None:
    """As after a reload with other slots, or where a camera goes back to a smaller picture by itself."""
    basket = f"id: basket, source: '{cart.folder}/clip.avi', loop: true, realtime: true"
    slot = "{id: shelf, polygon: [[0, 0], [96, 0], [96, 48], [0, 48]]}"
    with running(cart):
        cart.decisions(1)
        cart.write(basket, f"id: seat, source: 'synthetic: 64x48', locate: {{kind: slots, slots: [{slot}]}}")
        cart.hang_up()
        cart.until_event("reloaded")
        while (seat := cart.beat().cameras[1]).failures.get("unfit", 0) < 2:
            pass
        assert (seat.id, seat.frames > 0, seat.reopened > 0) == ("seat", True, True)
        assert {decision.camera_id for decision in cart.decisions(10)} == {"basket"}
        cart.write(basket, "id: seat, source: 'synthetic: 96x48', " + f"locate: {{kind: slots, slots: [{slot}]}}")
        cart.hang_up()
        cart.until_cameras("basket", "seat")
    found = "camera seat: unfit: locate: slot shelf reaches to 96,48 and the frame is 64x48; draw the polygons"
    told = [line for line in cart.errors.splitlines() if found in line]
    assert len(told) >= 2
    assert "opened again in" in told[0]


def test_what_is_done_with_frames_changes_without_opening_the_camera(cart: Cart) -> None:
    source = f"id: basket, source: '{cart.folder}/clip.avi', loop: true, realtime: true"
    slots = "locate: {kind: slots, slots: [{id: a, polygon: [[0, 0], [48, 0], [48, 48]]}]}"
    cart.write(source)
    with running(cart):
        found = cart.decisions(4)
        cart.write(f"{source}, looks: 1, {slots}")
        cart.hang_up()
        more, _ = cart.until_event("reloaded")
        found += more + cart.decisions(4)
        assert cart.beat().cameras[0].reopened == 0
    frames = [decision.frame for decision in found]
    assert frames == list(range(frames[0], frames[0] + len(frames)))
    assert {decision.region.label for decision in found} == {"frame", "a"}


def test_a_recording_ends_complete_where_another_bundle_takes_over(cart: Cart) -> None:
    recording = cart.folder / "recording"
    with running(cart, "--record", recording):
        cart.decisions(2 * EACH)
        cart.point_to("v2")
        cart.hang_up()
        cart.until_event("reloaded")
        cart.decisions(4)
    assert "the recording ends here, complete: reload, bundle " in cart.errors
    same = run("replay", recording)
    assert same.returncode == 0, same.stdout + same.stderr
    assert ", 0 differ" in same.stdout


def test_it_can_be_stopped_while_a_bundle_is_loaded(cart: Cart, tmp_path: Path) -> None:
    go_on = tmp_path / "go-on"
    with running(cart, make=lambda *given: faulty("load_waits", go_on, *given)):
        cart.decisions(2)
        cart.point_to("v2")
        cart.hang_up()
        while not Path(f"{go_on}.waits").exists():
            cart.decisions(1)


def test_asked_again_while_loading_it_reads_again_afterwards(cart: Cart, tmp_path: Path) -> None:
    go_on = tmp_path / "go-on"
    with running(cart, make=lambda *given: faulty("load_waits", go_on, *given)):
        cart.decisions(2)
        second = cart.point_to("v2")
        cart.hang_up()
        while not Path(f"{go_on}.waits").exists():
            cart.decisions(1)
        first = cart.point_to("v1")
        cart.hang_up()
        go_on.touch()
        _, there = cart.until_event("reloaded")
        _, back = cart.until_event("reloaded")
    assert (there.bundle_id, back.bundle_id) == (second, first)


def test_killed_while_loading_every_durable_file_is_whole(cart: Cart, tmp_path: Path) -> None:
    go_on = tmp_path / "go-on"
    outbox, feedback = tmp_path / "outbox.sqlite", tmp_path / "feedback.sqlite"
    cart.write(
        more=f"outbox: {{path: {outbox}, collector: 'ipc://{tmp_path}/nobody'}}\n"
        f"feedback: {{path: {feedback}, listen: 'ipc://{tmp_path}/truth'}}\n"
    )
    make = faulty("load_waits", go_on, "--config", cart.config, "--await-subscribers", 1)
    with subprocess.Popen(make, stderr=subprocess.PIPE, text=True) as cart.process:
        cart.decisions(2 * EACH)
        cart.point_to("v2")
        cart.hang_up()
        while not Path(f"{go_on}.waits").exists():
            cart.decisions(1)
        cart.process.kill()
    cart.last_seq = None
    with running(cart):
        found = cart.decisions(2)
    assert {decision.bundle_id for decision in found} == {read_bundle(cart.folder / "v2").id}
    assert "was damaged" not in cart.errors
    for path in (outbox, feedback):
        with closing(sqlite3.connect(path)) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_feedback_follows_and_verdicts_about_both_bundles_are_taken(cart: Cart, tmp_path: Path) -> None:
    truth = f"ipc://{tmp_path}/truth"
    feedback = f"feedback: {{path: {tmp_path}/feedback.sqlite, listen: '{truth}', audit_share: 1.0"
    cart.write(more=feedback + "}\n")
    with running(cart), zmq.Context() as context, context.socket(zmq.REQ) as teller:
        teller.setsockopt(zmq.LINGER, 0)
        teller.setsockopt(zmq.RCVTIMEO, 20_000)
        teller.connect(truth)
        old = cart.decisions(2 * EACH)
        cart.point_to("v2")
        cart.write(more=feedback + ", accuracy: null}\n")
        cart.hang_up()
        cart.until_event("reloaded")
        new = cart.decisions(2 * EACH)
        for decision in (old[0], new[-1], new[0]):
            verdict = {"decision_id": decision.decision_id, "true_sku": "sku-007", "source": "barcode"}
            teller.send(json.dumps(verdict).encode())
            assert json.loads(teller.recv())["result"] in {"taken", "again"}
    with closing(sqlite3.connect(tmp_path / "feedback.sqlite")) as database:
        (kept,) = database.execute("SELECT value FROM state WHERE name = 'watching'").fetchone()
        watching = json.loads(kept)
        things = database.execute("SELECT count(*) FROM things WHERE thing > ?", (watching["before"],)).fetchone()[0]
    assert watching["bundle_id"] == new[-1].bundle_id
    assert watching["before"] > 0
    assert things > 0
