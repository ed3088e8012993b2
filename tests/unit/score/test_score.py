"""Decisions against truth: what a decision was about, what counts as wrong, and the page."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import msgspec
import pytest
import samples

from calibration.score.cli import main
from calibration.score.figures import figures_from, judge
from calibration.score.page import page
from calibration.score.truth import Truth, read_truth
from edge.config import CameraConfig, DaemonConfig, PublishConfig
from edge.errors import InputError
from edge.messages import DecisionMessage, Region, decode
from edge.replay.record import Recorder
from edge.types import Frame

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
    assert "stranger than 0 % of the clip" in text
    assert "http" not in text
    assert "<sku-2>" not in text
    assert "&lt;sku-2&gt;" in text


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"fps": "x"}'])
def test_rubbish_for_a_truth_is_one_clear_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "truth.json").write_text(content)
    with pytest.raises(InputError, match=r"truth\.json"):
        read_truth(tmp_path / "truth.json")


def write_recording(folder: Path, region: Region) -> Path:
    """Write one decision about `region` of a frame of 640 x 480."""
    config = DaemonConfig(
        device_id="cart-7",
        bundle="bundle",
        cameras=(CameraConfig(id="basket", source="clip.avi"),),
        publish=PublishConfig(decisions="ipc://decisions"),
    )
    with Recorder(folder, config, "b1") as recorder:
        recorder.frame(Frame("basket", 0, samples.product(1, 640, 480), 0, 0))
        recorder.decision(msgspec.structs.replace(decision(0, 0, "accept", "sku-1"), region=region))
    return folder


@pytest.fixture
def options(truth: Truth, tmp_path: Path) -> list[str]:
    recording = write_recording(tmp_path / "run", Region(x=100, y=100, width=100, height=100, label="motion"))
    (tmp_path / "shop" / "reference").mkdir(parents=True)
    where = {"--recording": recording, "--truth": tmp_path / "truth.json", "--catalogue": tmp_path / "shop"}
    return [str(word) for pair in where.items() for word in pair]


def test_the_page_and_the_figures_stand_beside_each_other(options: list[str], tmp_path: Path) -> None:
    assert main([*options, "--out", str(tmp_path / "page.html")]) == 0
    assert json.loads((tmp_path / "page.json").read_text())["accepted"] == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["page.html", "page.json", "run", "shop", "truth.json"]


@pytest.mark.parametrize("name", ["truth.html", "truth.json", "page.json", "folder", "."])
def test_an_output_in_the_place_of_something_else_is_refused(
    options: list[str], tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder").mkdir()
    before = (tmp_path / "truth.json").read_bytes()
    assert main([*options, "--out", str(tmp_path / name)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert (tmp_path / "truth.json").read_bytes() == before
    assert not list(tmp_path.glob("*.html"))


def test_a_catalogue_that_is_not_there_is_refused(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options[-1] = str(tmp_path / "nowhere")
    assert main([*options, "--out", str(tmp_path / "page.html")]) == 2
    assert "no folder `reference`" in capsys.readouterr().err


@pytest.mark.parametrize("corner", [(9999, 9999, 10, 10), (0, 0, 0, 0), (-50, -50, 10, 10), (600, 440, 900, 900)])
def test_a_region_outside_the_frame_has_no_picture_and_does_no_harm(
    options: list[str], tmp_path: Path, corner: tuple[int, int, int, int]
) -> None:
    x, y, width, height = corner
    options[1] = str(write_recording(tmp_path / "odd", Region(x=x, y=y, width=width, height=height, label="motion")))
    assert main([*options, "--out", str(tmp_path / "page.html")]) == 0
