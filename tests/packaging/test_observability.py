"""Alert rules and dashboard speak of what the daemon really shows, and the rules do what they say."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml
from full_health import SECOND_NS, full_health, served, troubled_camera
from prometheus_client.parser import text_string_to_metric_families

from edge.metrics import collector

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "shelfedge.rules.yml"
TESTS = DEPLOY / "prometheus" / "shelfedge.tests.yml"
BOARD = DEPLOY / "grafana" / "shelfedge.json"
OF_THE_SCRAPE = {"job", "instance", "le"}


def groups() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in groups() if "alert" in rule]


def board() -> dict[str, Any]:
    return dict(json.loads(BOARD.read_text()))


def queries() -> list[str]:
    targets = [target for panel in board()["panels"] for target in panel.get("targets", [])]
    return [rule["expr"] for rule in groups()] + [target["expr"] for target in targets]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[dict[str, str]]]:
    """Every series that a daemon with everything shows, on both pages: name -> labels."""
    monkeypatch.setattr(collector, "hottest_celsius", lambda: 50.0)
    found: dict[str, list[dict[str, str]]] = {"up": [{}]}
    with served(full_health(), [troubled_camera("basket")], 100 * SECOND_NS) as base:
        for path in ("/metrics", "/metrics/classes"):
            text = urllib.request.urlopen(base + path, timeout=10).read().decode()
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    found.setdefault(sample.name, []).append(sample.labels)
    for rule in groups():
        if "record" in rule:
            found[rule["record"]] = [{"camera": "basket"}]
    return found


def selectors(query: str) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """Return the series that a query asks for: name, and its matchers as (label, operator, value)."""
    found = []
    for name, inside in re.findall(r"\b(up|edge[_:][a-z0-9_:]+)\b(\{[^}]*\})?", query):
        found.append((name, re.findall(r'(\w+)\s*(=~|!=|!~|=)\s*"([^"]*)"', inside)))
    return found


def test_every_series_that_is_asked_for_can_be_there(shown: dict[str, list[dict[str, str]]]) -> None:
    asked = [selector for query in queries() for selector in selectors(query)]
    assert len({name for name, _ in asked}) > 25
    for name, matchers in asked:
        assert name in shown, f"{name} is shown nowhere"
        for label, operator, value in matchers:
            if label in OF_THE_SCRAPE:
                continue
            values = {labels.get(label) for labels in shown[name]}
            assert values != {None}, f"{name} has no label {label}"
            wanted = set(value.split("|")) if operator in {"=", "=~", "!="} else set()
            assert wanted <= values, f"{name} never has {label} {wanted - values}"


def test_labels_that_texts_and_sums_name_exist(shown: dict[str, list[dict[str, str]]]) -> None:
    known = OF_THE_SCRAPE | {label for series in shown.values() for labels in series for label in labels}
    text = RULES.read_text() + BOARD.read_text()
    named = set(re.findall(r"\$labels\.(\w+)", text)) | set(re.findall(r"\{\{\s*(\w+)\s*\}\}", text))
    for inside in re.findall(r"\b(?:by|on) \(([^)]*)\)", text):
        named |= {label.strip() for label in inside.split(",")}
    assert "route" in named
    assert named <= known, named - known


def test_every_alert_says_how_urgent_it_is_and_what_to_do() -> None:
    assert len({rule["alert"] for rule in alerts()}) == len(alerts())
    for rule in alerts():
        assert rule["labels"]["severity"] in {"page", "ticket", "info"}
        assert set(rule["annotations"]) == {"summary", "action"}


def test_every_alert_is_shown_to_fire_and_to_stay_silent() -> None:
    cases = [case for test in yaml.safe_load(TESTS.read_text())["tests"] for case in test["alert_rule_test"]]
    names = {rule["alert"] for rule in alerts()}
    assert {case["alertname"] for case in cases if case.get("exp_alerts")} == names
    assert {case["alertname"] for case in cases if not case.get("exp_alerts")} == names


def promtool(*arguments: str, folder: Path = TESTS.parent) -> subprocess.CompletedProcess[str]:
    if shutil.which("promtool") is None:
        pytest.skip("no promtool (Debian: prometheus): the alert rules were not run")
    return subprocess.run(["promtool", *arguments], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "arguments",
    [("check", "rules", RULES.name), ("check", "config", "prometheus.yml"), ("test", "rules", TESTS.name)],
    ids=" ".join,
)
def test_promtool_is_content(arguments: tuple[str, ...]) -> None:
    done = promtool(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_that_never_fire_fail_their_tests(tmp_path: Path) -> None:
    rules = yaml.safe_load(RULES.read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            if "alert" in rule:
                rule["expr"] = f"({rule['expr']}) and on () vector(1) < 0"
    (tmp_path / RULES.name).write_text(yaml.safe_dump(rules))
    shutil.copy(TESTS, tmp_path)
    done = promtool("test", "rules", TESTS.name, folder=tmp_path)
    assert done.returncode != 0
    missed = {rule["alert"] for rule in alerts() if rule["alert"] not in done.stdout + done.stderr}
    assert not missed


def test_the_dashboard_is_what_its_table_says() -> None:
    made = runpy.run_path(str(DEPLOY / "grafana" / "dashboard.py"))["dashboard"]()
    assert made == board(), "run python deploy/grafana/dashboard.py"


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    content = board()
    assert content["schemaVersion"] >= 38
    assert {one["name"] for one in content["templating"]["list"]} == {"datasource", "instance"}
    panels = content["panels"]
    assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, f"{panel['title']} lies on another panel"
        taken |= cells
        assert panel["type"] == "row" or panel["targets"]
        for target in panel.get("targets", []):
            assert target["datasource"] == panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            assert target["expr"].count("(") == target["expr"].count(")")
