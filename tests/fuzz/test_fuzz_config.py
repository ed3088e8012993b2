"""Mutated configurations load or are refused in one line, quickly and without growing: never anything else."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path

import pytest

from edge import yaml_file
from edge.capture.address import parse_source
from edge.config import DaemonConfig, load_daemon_config
from edge.errors import ConfigError
from edge.health import resident_mib

GOOD = """\
device_id: cart-0001
bundle: bundles/current
cameras:
  - id: basket
    source: /dev/video0
    loop: false
    max_age_ms: 500
    locate: {kind: motion, min_area: 0.01, max_area: 0.6}
  - id: shelf
    source: rtsp://camera/stream
    locate:
      kind: slots
      slots:
        - {id: a1, polygon: [[40, 120], [300, 120], [300, 520], [40, 520]]}
engine: {threads: 2, fallback: onnxruntime}
publish:
  decisions: tcp://0.0.0.0:5556
  high_water_mark: 1000
outbox:
  path: spool/outbox.sqlite
  collector: tcp://10.0.0.3:5560
feedback:
  path: spool/feedback.sqlite
  listen: tcp://0.0.0.0:5562
  audit_share: 0.01
  accuracy: {charged: 0.97, asked: 0.5, false_discovery: 0.1}
  new_products: [0.05, 0.1]
keys:
  own: keys/cart-0001.secret
  subscribers: keys/subscribers
  senders: keys/senders
  collector: keys/collector.pub
metrics:
  listen: 127.0.0.1:9108
"""
VALUES = (
    *("", "null", "true", ".nan", "-.inf", "1e400", "9" * 400, "-1", "0x7fffffffffffffff", "012", "1:30", "2026-11-29"),
    *("'", '"', "[", "{", "}", "]", "&a", "*a", "!!python/object:os.system x", "!!binary a", "? ", "- ", "|", ">", "%"),
    *("\\x00", "\x00", "\u2028", "\ud800", "\ufeff", "é" * 100, "a" * 70, "tcp://", "ipc://", "tcp://*:1", "---", "#"),
    *("[[[[[[[[[[", "{a: " * 200, "<<: {}", "keys: null", "publish: {}", "cameras: []", "\t", "\r", "\x85", "@", "..."),
)


def mutated(generator: random.Random, text: str) -> str:
    """Return a text that differs in one to four places: signs, values, keys, lines, indents, a cut."""
    for _ in range(generator.choice((1, 1, 2, 4))):
        lines = text.splitlines()
        number, kind = generator.randrange(max(len(lines), 1)), generator.randrange(8)
        if kind == 0 or not lines:
            place = generator.randrange(len(text) + 1)
            text = text[:place] + generator.choice(VALUES) + text[place + generator.randrange(4) :]
            continue
        if kind == 1:
            lines[number] = lines[number].partition(":")[0] + ": " + generator.choice(VALUES)
        elif kind == 2:
            lines[number] = generator.choice(VALUES) + ":" + lines[number].partition(":")[2]
        elif kind == 3:
            del lines[number]
        elif kind == 4:
            lines.insert(generator.randrange(len(lines)), lines[number])
        elif kind == 5:
            lines[number] = " " * generator.randrange(9) + lines[number].lstrip()
        elif kind == 6:
            lines = lines[:number]
        else:
            signs = list(lines[number])
            generator.shuffle(signs)
            lines[number] = "".join(signs)
        text = "\n".join(lines) + "\n"
    return text


def fuzz(count: int, seed: int) -> Counter[str]:
    """Read mutated configurations; return how many loaded and how many were refused."""
    generator, path = random.Random(seed), Path("cart.yaml")
    found: Counter[str] = Counter()
    before_mib, slowest_s = resident_mib(), 0.0
    for number in range(count):
        text = mutated(generator, GOOD)
        began_s = time.process_time()
        try:
            yaml_file.parse(path, text, DaemonConfig, faults)
            found["loaded"] += 1
        except ConfigError as error:
            assert "\n" not in str(error), (number, text)
            assert str(error).startswith("cart.yaml"), (number, text)
            found["refused"] += 1
        slowest_s = max(slowest_s, time.process_time() - began_s)
    assert resident_mib() - before_mib < 50
    assert slowest_s < 1.0
    return found


def faults(config: DaemonConfig) -> list[yaml_file.Fault]:
    from edge.config.daemon import _faults  # what load_daemon_config checks after the types

    return list(_faults(config, parse_source))


def test_the_configuration_that_is_mutated_is_a_good_one(tmp_path: Path) -> None:
    (tmp_path / "cart.yaml").write_text(GOOD)
    assert load_daemon_config(tmp_path / "cart.yaml", parse_source).keys is not None


def test_mutated_configurations_load_or_are_refused() -> None:
    found = fuzz(1_000, seed=1)
    assert found["refused"] > 500
    assert found["loaded"] > 20, "else nothing but the parser was tried"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ten_thousand_mutated_configurations_load_or_are_refused() -> None:
    assert sum(fuzz(10_000, seed=2).values()) == 10_000
