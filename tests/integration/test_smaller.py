"""The ladder's last step: a smaller bundle decides, at its stricter cut points, while there is too much to do."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import samples
import zmq
from mjpeg_camera import mjpeg_camera
from test_daemon import run
from test_reload import Cart, running

from edge import messages
from edge.bundle import read_bundle
from edge.types import EngineRows, Image

ALWAYS_LATE = "[0.000001, 0.000002, 0.000003]"  # of max_age_ms: no picture is as young as that


def cart_with_smaller(
    folder: Path,
    endpoint: str,
    subscriber: zmq.Socket,
    count: int = 6,
    golden_rows: Callable[[EngineRows], EngineRows] = np.copy,
) -> Cart:
    cart = Cart(folder, endpoint, subscriber)
    rules = samples.rules(count)
    cuts = replace(rules.cuts, max_set=4)
    samples.write_sample_bundle(folder / "small", count, replace(rules, cuts=cuts), golden_rows=golden_rows)
    return cart


def noisy(number: int) -> Image:
    """A product that lies still, seen by a sensor with noise: no two pictures are the same."""
    noise = np.random.default_rng(number).integers(-9, 10, samples.product(1).shape)
    return np.clip(samples.product(1) + noise, 0, 255).astype(np.uint8)


def degrade(cart: Cart, smaller: str = "small", calm_s: float = 3600) -> str:
    """`calm_s`: on a busy machine a second may pass without a picture, which is calm; whether that counts."""
    place = f"{cart.folder}/{smaller}" if smaller else "''"
    return f"degrade: {{smaller: {place}, queue: {ALWAYS_LATE}, memory: [0.0003, 0.0002, 0.0001], calm_s: {calm_s}}}\n"


def test_too_much_to_do_lets_the_smaller_bundle_decide_and_the_usual_one_again(
    tmp_path: Path, endpoint: str, subscriber: zmq.Socket
) -> None:
    cart = cart_with_smaller(tmp_path, endpoint, subscriber)
    standstill = threading.Event()
    usual, small = (read_bundle(tmp_path / name).id for name in ("v1", "small"))
    with mjpeg_camera(lambda number: noisy(0 if standstill.is_set() else number)) as url:
        cart.write(f"id: basket, source: '{url}'", more=degrade(cart))
        with running(cart):
            before, event = cart.until_event("reloaded")
            after = cart.decisions(8)
            beat = cart.beat()
            standstill.set()  # no picture, no queue: the device recovers
            cart.write(f"id: basket, source: '{url}'", more=degrade(cart, calm_s=0.5))
            cart.hang_up()
            events = [cart.until_event("reloaded")[1] for _ in range(2)]
    assert event.summary == f"smaller engine done: bundle {usual} -> {small}"
    assert {decision.bundle_id for decision in after} == {small}
    assert [d.bundle_id for d in before] == sorted((d.bundle_id for d in before), key=[usual, small].index)
    assert all(decision.degraded for decision in after)
    assert (beat.bundle_id, beat.degraded, beat.reload) == (small, "the smaller bundle decides", "")
    assert beat.ladder is not None
    assert beat.ladder.name == "smaller_engine"
    summaries = ["reload done: degrade.calm_s", f"usual engine done: bundle {small} -> {usual}"]
    assert [event.summary for event in events] == summaries


def test_a_configuration_without_it_brings_the_usual_one_back_at_once(
    tmp_path: Path, endpoint: str, subscriber: zmq.Socket
) -> None:
    cart = cart_with_smaller(tmp_path, endpoint, subscriber)
    usual, small = (read_bundle(tmp_path / name).id for name in ("v1", "small"))
    with mjpeg_camera(noisy) as url:
        cart.write(f"id: basket, source: '{url}'", more=degrade(cart))
        with running(cart):
            assert cart.until_event("reloaded")[1].bundle_id == small
            cart.write(f"id: basket, source: '{url}'", more=degrade(cart, smaller=""))
            cart.hang_up()
            _, event = cart.until_event("reloaded")
            after = cart.decisions(20)
            beat = cart.beat()
    assert event.summary == f"reload done: bundle {small} -> {usual}, degrade.smaller"
    assert {(decision.bundle_id, decision.degraded) for decision in after} == {(usual, True)}
    assert beat.ladder is not None
    assert (beat.ladder.name, beat.degraded) == ("skip_still", "")
    assert "engine done" not in cart.errors.partition("reload done")[2]


def test_one_of_other_products_is_refused_before_anything_is_opened(
    tmp_path: Path, endpoint: str, subscriber: zmq.Socket
) -> None:
    cart = cart_with_smaller(tmp_path, endpoint, subscriber, count=5)
    cart.write(more=degrade(cart))
    for more in ((), ("--check",)):
        done = run("daemon", "--config", cart.config, *more)
        assert done.returncode == 2
        assert "sku-005 is absent here and active in" in done.stderr


def test_one_that_does_not_give_its_golden_rows_changes_nothing(
    tmp_path: Path, endpoint: str, subscriber: zmq.Socket
) -> None:
    cart = cart_with_smaller(tmp_path, endpoint, subscriber, golden_rows=lambda rows: rows[::-1].copy())
    usual = read_bundle(tmp_path / "v1").id
    with mjpeg_camera(noisy) as url:
        cart.write(f"id: basket, source: '{url}'", more=degrade(cart))
        with running(cart):
            _, event = cart.until_event("reload_failed")
            after = cart.decisions(8)
    assert event.summary.startswith("smaller engine failed: ")
    assert {(decision.bundle_id, decision.degraded) for decision in after} == {(usual, True)}
    assert isinstance(event, messages.EventMessage)
