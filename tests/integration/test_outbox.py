"""Decisions that arrive: the daemon and `edge-collect` as processes, one of them killed at a time."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import samples
from test_daemon import EACH, command, write_clip

DECISIONS = 4 * EACH


@pytest.fixture
def config(tmp_path: Path, endpoint: str) -> Path:
    """One camera over a clip of the products 0, 1, 2 and the stranger 50, and an outbox."""
    samples.write_sample_bundle(tmp_path / "bundle")
    write_clip(tmp_path / "clip.avi", [0, 1, 2, 50])
    path = tmp_path / "cart.yaml"
    path.write_text(
        f"device_id: cart-7\nbundle: {tmp_path}/bundle\ncameras:\n"
        f"  - {{id: basket, source: {tmp_path}/clip.avi}}\npublish: {{decisions: '{endpoint}'}}\n"
        f"outbox: {{path: {tmp_path}/outbox.sqlite, collector: 'ipc://{tmp_path}/collector'}}\n"
    )
    return path


def collector(tmp_path: Path) -> subprocess.Popen[str]:
    code = "import sys; from edge.collect.cli import main; sys.exit(main())"
    arguments = ("--out", tmp_path / "decisions.sqlite", "--listen", f"ipc://{tmp_path}/collector")
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("listening on ")
    return process


def decide(config: Path) -> None:
    """Run a daemon that waits, at its end, for as long as a collector on a busy machine may take to acknowledge."""
    code = (
        "import sys; from edge.outbox import courier; courier.LAST_MS = 20_000;"
        " from edge.cli.daemon import main; sys.exit(main())"
    )
    arguments = [sys.executable, "-c", code, "--config", str(config)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def collected(tmp_path: Path) -> list[tuple[str, int, str]]:
    with closing(sqlite3.connect(tmp_path / "decisions.sqlite")) as database:
        return database.execute("SELECT epoch, seq, route FROM decisions ORDER BY epoch, seq").fetchall()


def waiting(tmp_path: Path) -> int:
    with closing(sqlite3.connect(tmp_path / "outbox.sqlite")) as database:
        return int(database.execute("SELECT count(*) FROM outbox").fetchone()[0])


def test_every_decision_is_collected_once(config: Path, tmp_path: Path) -> None:
    with collector(tmp_path) as process:
        decide(config)
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert f"{DECISIONS} decisions written, 0 came again, 0 rejected" in out
    found = collected(tmp_path)
    assert len(found) == DECISIONS
    assert [route for *_, route in found].count("unknown") == EACH
    assert waiting(tmp_path) == 0
    with closing(sqlite3.connect(tmp_path / "decisions.sqlite")) as database:
        payload = database.execute("SELECT payload FROM decisions").fetchone()[0]
    assert json.loads(payload)["device_id"] == "cart-7"


def test_a_collector_that_is_away_or_killed_loses_nothing(config: Path, tmp_path: Path) -> None:
    decide(config)
    assert waiting(tmp_path) == DECISIONS, "nobody listened"
    with collector(tmp_path) as process:
        process.kill()
    decide(config)
    assert waiting(tmp_path) + len(collected(tmp_path)) >= 2 * DECISIONS
    with collector(tmp_path) as process:
        decide(config)
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    found = collected(tmp_path)
    assert len({epoch for epoch, *_ in found}) == 3, "of all three starts"
    assert len(found) == 3 * DECISIONS
    assert waiting(tmp_path) == 0


def test_an_endpoint_beyond_this_machine_has_to_be_meant(config: Path, tmp_path: Path) -> None:
    text = config.read_text().replace(f"ipc://{tmp_path}/collector", "tcp://10.0.0.3:5560")
    config.write_text(text)
    done = subprocess.run(command("daemon", "--config", config, "--check"), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "outbox.collector" in done.stderr
    assert "insecure: true" in done.stderr
    config.write_text(text.replace("outbox: {", "outbox: {insecure: true, "))
    done = subprocess.run(command("daemon", "--config", config, "--check"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_file_in_the_place_of_the_socket_is_not_lost(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("a diary")
    code = "import sys; from edge.collect.cli import main; sys.exit(main())"
    arguments = ["--out", str(tmp_path / "decisions.sqlite"), "--listen", f"ipc://{tmp_path}/notes"]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "change --listen" in done.stderr
    assert (tmp_path / "notes").read_text() == "a diary"


def test_a_file_that_is_something_else_is_not_written_into(tmp_path: Path) -> None:
    (tmp_path / "decisions.sqlite").write_text("a diary, not a database" * 100)
    code = "import sys; from edge.collect.cli import main; sys.exit(main())"
    arguments = ["--out", str(tmp_path / "decisions.sqlite"), "--listen", f"ipc://{tmp_path}/collector"]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "expected one of edge-collect" in done.stderr
    assert (tmp_path / "decisions.sqlite").read_text().startswith("a diary")
