"""YAML files: typed, strict, and every refusal names file, line and key."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.capture.address import parse_source
from edge.config import DaemonConfig, load_daemon_config
from edge.errors import ConfigError

GOOD = """\
device_id: cart-0001
bundle: bundles/current
cameras:
  - id: basket
    source: /dev/video0
    loop: false
    locate: {kind: motion}
publish:
  decisions: tcp://127.0.0.1:5556
metrics:
  listen: 127.0.0.1:9108
"""


def load(tmp_path: Path, text: str) -> DaemonConfig:
    path = tmp_path / "cart.yaml"
    path.write_text(text, encoding="utf-8")
    return load_daemon_config(path, parse_source)


def test_the_documented_keys_are_read(tmp_path: Path) -> None:
    config = load(tmp_path, GOOD)
    assert config.device_id == "cart-0001"
    assert config.cameras[0].source == "/dev/video0"
    assert config.metrics is not None
    assert config.metrics.listen == "127.0.0.1:9108"


@pytest.mark.parametrize(
    ("old", "new", "line", "key"),
    [
        ("loop: false", "loop: no", 6, "cameras[0].loop"),
        ("loop: false", "lop: false", 6, "cameras[0].lop"),
        ("kind: motion", "kind: magic", 7, "cameras[0].locate.kind"),
        ("kind: motion", "kind: motion, min_area: .nan", 7, "min_area"),
        ("kind: motion", "kind: motion, min_area: .inf", 7, "min_area"),
        ("kind: motion", "kind: motion, min_area: 3", 7, "min_area"),
        ("kind: motion", "kind: motion, history_frames: 10 ms", 7, "history_frames"),
        ("kind: motion", "kind: motion, history_frames: 012", 7, "history_frames"),
        ("bundle:", "device_id: x\nbundle:", 2, "device_id"),
        ("device_id: cart-0001\n", "", 1, "device_id"),
        ("device_id: cart-0001", "device_id: a/b", 1, "device_id"),
        ("tcp://127.0.0.1:5556", "127.0.0.1", 9, "publish.decisions"),
        ("cameras:\n", "cameras: []\nx:\n", 3, "cameras"),
        ("kind: motion}", "kind: motion", 8, "not YAML"),
        ("device_id: cart-0001", 'device_id: "cart\\n"', 1, "device_id"),
        ("bundle: bundles/current", 'bundle: "a\\0b"', 2, "bundle"),
        ("kind: motion", "kind: motion, min_area: 0.7", 7, "cameras[0].locate.min_area"),
        ("kind: motion", "kind: slots, slots: [{id: s, polygon: [[1, 1], [2, 1], [3, 1]]}]", 7, "slots[0].polygon"),
        ("tcp://127.0.0.1:5556", "tcp://127.0.0.1:0", 9, "publish.decisions"),
        ("tcp://127.0.0.1:5556", "tcp://127.0.0.1:65536", 9, "publish.decisions"),
        ("127.0.0.1:9108", "127.0.0.1:99999", 11, "metrics.listen"),
        ("/dev/video0", "ftp://camera/1", 5, "cameras[0].source"),
        ("/dev/video0", "'synthetic: x'", 5, "cameras[0].source"),
        ("kind: motion}", "kind: motion}\n    when_full: wait", 8, "cameras[0].when_full"),
        ("kind: motion}", "kind: motion}\n    when_full: sometimes", 8, "cameras[0].when_full"),
        ("kind: motion}", "kind: motion}\n    max_age_ms: 0", 8, "cameras[0].max_age_ms"),
        ("device_id: cart-0001", "device_id: &a cart-0001", 1, "anchor"),
        ("device_id: cart-0001", "device_id: !!python/name:os.system x", 1, "device_id"),
    ],
)
def test_a_refusal_names_file_line_and_key(tmp_path: Path, old: str, new: str, line: int, key: str) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, GOOD.replace(old, new))
    message = str(caught.value)
    assert f"cart.yaml:{line}:" in message
    assert key in message
    assert "\n" not in message


def test_a_file_drops_frames_only_where_it_plays_a_camera(tmp_path: Path) -> None:
    dropping = GOOD.replace("/dev/video0", "clip.avi\n    when_full: drop_newest")
    with pytest.raises(ConfigError, match=r"cameras\[0\]\.when_full: .*expected wait, or `realtime: true`"):
        load(tmp_path, dropping)
    assert load(tmp_path, dropping.replace("drop_newest", "drop_newest\n    realtime: true")).cameras[0].realtime


def test_two_cameras_of_one_name_are_refused(tmp_path: Path) -> None:
    camera = "  - id: basket\n    source: a.avi\n"
    with pytest.raises(ConfigError, match=r"yaml:8: cameras\[1\]\.id: the id basket stands twice"):
        load(tmp_path, GOOD.replace("publish:", camera + "publish:"))


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[" * 5000, b"- 1", b"a: 1", b"x" * (2 << 20), b"a: {b: " * 40])
def test_rubbish_is_one_clear_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cart.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"cart\.yaml"):
        load_daemon_config(path)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_daemon_config(tmp_path / "none.yaml")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, len(GOOD) - 1), mutation=st.text(max_size=6))
def test_a_mutated_file_loads_or_is_refused_and_nothing_else(tmp_path: Path, position: int, mutation: str) -> None:
    path = tmp_path / "cart.yaml"
    path.write_bytes((GOOD[:position] + mutation + GOOD[position + 1 :]).encode("utf-8", "surrogatepass"))
    try:
        config = load_daemon_config(path)
    except ConfigError as error:
        assert "\n" not in str(error).strip()
    else:
        assert yaml.safe_load(path.read_text(encoding="utf-8"))["device_id"] is not None
        assert config.cameras


def test_a_block_of_several_lines_is_one_text(tmp_path: Path) -> None:
    config = load(tmp_path, GOOD.replace("/dev/video0", ">\n      gst: videotestsrc !\n      appsink"))
    assert config.cameras[0].source == "gst: videotestsrc ! appsink"
