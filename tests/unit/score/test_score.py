"""Decisions against truth: what a decision was about, what counts as wrong, and the page."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import msgspec
import pytest
import samples

from calibration.score.figures import figures_from, judge
from calibration.score.page import page
from calibration.score.truth import Truth, read_truth
from edge.errors import InputError
from edge.messages import DecisionMessage, Region, decode

GOLDEN = Path(__file__).parents[1] / "edge" / "decision-schema-1.json"


def thing(event: int, sku: str | None, kind: str, x: int) -> dict[str, object]:
    return {"event": event, "sku": sku, "kind": kind, "box": [x, 100, 100, 100], "moving": False, "visible": 1.0}


@pytest.fixture
def truth(tmp_path: Path) -> Truth:
    """An enrolled product on the left, then a sibling on the right; a second enrolled product nobody decides on."""
    left, right = thing(0, "sku-1", "enrolled", 100), thing(1, "sku-9", "sibling", 400)
    content = {
        "fps": 15,
        "events": [
            {"event": 0, "sku": "sku-1", "kind": "enrolled", "first_frame": 0, "last_frame": 2},
            {"event": 1, "sku": "sku-9", "kind": "sibling", "first_frame": 1, "last_frame": 2},
            {"event": 2, "sku": "sku-2", "kind": "enrolled", "first_frame": 3, "last_frame": 3},
        ],
        "frames": [
            {"frame": 0, "objects": [left]},
            {"frame": 1, "objects": [left, right]},
            {"frame": 2, "objects": [right]},
        ],
    }
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(content))
    return read_truth(path)


def decision(frame: int, x: int, route: str, sku: str | None, width: int = 100) -> DecisionMessage:
    stored = decode(GOLDEN.read_bytes())
    assert isinstance(stored, DecisionMessage)
    region = Region(x=x, y=100, width=width, height=100, label="motion")
    return msgspec.structs.replace(stored, frame=frame, region=region, route=route, sku=sku, latency_ms=float(frame))


@pytest.mark.parametrize(
    ("frame", "x", "width", "sku"),
    [
        (0, 100, 100, "sku-1"),
        (0, 140, 100, "sku-1"),
        (0, 160, 100, None),  # less than half of the object
        (0, 90, 600, None),  # the object is less than a fifth of the region
        (1, 380, 120, "sku-9"),
        (2, 100, 100, None),
        (9, 100, 100, None),
    ],
)
def test_a_decision_is_about_the_object_it_covers(
    truth: Truth, frame: int, x: int, width: int, sku: str | None
) -> None:
    about = truth.about(frame, Region(x=x, y=100, width=width, height=100, label="motion"))
    assert (about.sku if about else None) == sku


def test_a_decision_is_about_what_lies_on_top(tmp_path: Path) -> None:
    under = {**thing(0, "under", "enrolled", 100), "visible": 0.3}
    over = {**thing(1, "over", "enrolled", 130), "visible": 1.0}
    content = {"fps": 15, "events": [], "frames": [{"frame": 0, "objects": [under, over]}]}
    (tmp_path / "truth.json").write_text(json.dumps(content))
    about = read_truth(tmp_path / "truth.json").about(0, Region(x=110, y=100, width=120, height=100, label="motion"))
    assert about is not None
    assert about.sku == "over"


def test_every_wrong_accept_counts_whatever_it_was_about(truth: Truth) -> None:
    decisions = [
        decision(0, 100, "accept", "sku-1"),  # right
        decision(1, 100, "accept", "sku-2"),  # another product
        decision(1, 400, "accept", "sku-9"),  # a product that is not enrolled, even if it carried its own name
        decision(2, 100, "accept", "sku-1"),  # nothing is there
        decision(2, 400, "unknown", "sku-1"),
        decision(0, 100, "verify", "sku-1"),
    ]
    figures = figures_from(judge(truth, decisions), truth)
    assert (figures.accepted, figures.accepted_wrong) == (4, 3)
    assert figures.silent_error == 0.75
    assert (figures.enrolled_accepted_wrong, figures.accepted_error) == (1, 0.5)
    assert (figures.enrolled, figures.enrolled_accepted, figures.top1_right) == (3, 2, 2)
    assert figures.routes == {"accept": 4, "verify": 1, "review": 0, "unknown": 1}
    assert figures.by_kind["nothing"] == {"accept": 1}
    assert figures.events == {
        "enrolled: accepted wrongly": 1,
        "not enrolled: accepted wrongly": 1,
        "enrolled: never decided on": 1,
    }


def test_no_decisions_no_figures_and_no_division_by_zero(truth: Truth) -> None:
    figures = figures_from([], truth)
    assert (figures.automation, figures.silent_error, figures.latency_p99_ms) == (0.0, 0.0, 0.0)


def test_the_page_is_self_contained_and_shows_errors_first(truth: Truth, tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    (tmp_path / "reference" / "sku-1").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "frames" / "basket-00000000.png"), samples.product(1, 640, 480))
    cv2.imwrite(str(tmp_path / "reference" / "sku-1" / "0.png"), samples.product(1))
    decisions = [decision(0, 100, "accept", "sku-1"), decision(1, 100, "accept", "<sku-2>")]
    judged = judge(truth, decisions)
    text = page(judged, figures_from(judged, truth), (tmp_path, tmp_path, "b1"))
    assert text.index("silent errors") < text.index("Accepted and right")
    assert text.count("data:image/jpeg;base64,") == 2
    assert "http" not in text
    assert "<sku-2>" not in text
    assert "&lt;sku-2&gt;" in text


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"fps": "x"}'])
def test_rubbish_for_a_truth_is_one_clear_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "truth.json").write_text(content)
    with pytest.raises(InputError, match=r"truth\.json"):
        read_truth(tmp_path / "truth.json")
