"""Play a recording through the same stages and compare route by route.

The same bundle on the same kind of machine must give the same decisions: routes, products and regions exactly, scores
within `TOLERANCE` (a different processor may round the network differently).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import TypeAlias

import numpy as np

from edge.degrade.still import StillGate
from edge.errors import InputError
from edge.pipeline import Pipeline
from edge.ports import Locator
from edge.preprocess import cut
from edge.replay.record import DECISIONS, is_complete, read_decisions, read_frame_lines, read_frames
from edge.track import Tracker
from edge.types import Decision, Region

__all__ = ["TOLERANCE", "Comparison", "Eyes", "compare"]

TOLERANCE = 1e-3
KEPT_DIFFERENCES = 10
Eyes: TypeAlias = tuple[Locator, Tracker, StillGate]  # of one camera


@dataclass(slots=True)
class Comparison:
    """How many decisions were compared, how many differ, and the first few differences in words."""

    compared: int = 0
    different: int = 0
    first: list[str] = field(default_factory=list)

    def note(self, difference: str) -> None:
        """Count one difference."""
        self.different += 1
        if len(self.first) < KEPT_DIFFERENCES:
            self.first.append(difference)


def compare(folder: Path, pipeline: Pipeline, eyes: Mapping[str, Eyes]) -> Comparison:
    """Replay `folder` with new eyes for each camera, and compare with what was recorded.

    A recording that was cut short (the disk filled up, the power went) is compared as far as it goes.
    Raises InputError for a damaged recording.
    """
    result, complete = Comparison(), is_complete(folder)
    whole = {(line.camera_id, line.number) for line in read_frame_lines(folder)}
    decisions = (d for d in read_decisions(folder / DECISIONS) if (d.camera_id, d.frame) in whole)
    for recorded, replayed in zip_longest(decisions, _replay(folder, pipeline, eyes)):
        if recorded is None and not complete:
            break
        result.compared += 1
        if recorded is None or replayed is None:
            result.note(
                f"{'recorded' if replayed is None else 'replayed'} decision {result.compared} has no counterpart"
            )
            continue
        camera, number, region, decision = replayed
        where = f"camera {recorded.camera_id} frame {recorded.frame}"
        if (recorded.camera_id, recorded.frame) != (camera, number):
            result.note(f"{where}: replay is at camera {camera} frame {number}")
        elif (recorded.region.x, recorded.region.y, recorded.region.width, recorded.region.height) != (
            region.x,
            region.y,
            region.width,
            region.height,
        ):
            result.note(f"{where}: another region")
        elif (recorded.route, recorded.sku) != (decision.route.value, decision.sku):
            result.note(f"{where}: {recorded.route} {recorded.sku}, replayed {decision.route.value} {decision.sku}")
        elif not abs(recorded.confidence - decision.confidence) <= TOLERANCE:
            result.note(f"{where}: confidence {recorded.confidence:.4f}, replayed {decision.confidence:.4f}")
    return result


def _replay(folder: Path, pipeline: Pipeline, eyes: Mapping[str, Eyes]) -> Iterator[tuple[str, int, Region, Decision]]:
    for frame, line in read_frames(folder):
        if frame.camera_id not in eyes:
            found = f"a frame of the camera {frame.camera_id}, which session.json does not name"
            raise InputError(f"{folder}: {found}; the recording is damaged")
        locator, tracker, gate = eyes[frame.camera_id]
        regions = gate.open_for(frame.image, locator.locate(frame), line.still_every)
        number, looks = tracker.next_frame(), [cut(frame.image, region) for region in regions]
        batches = [(batch, pipeline.embed([batch])) for batch in pipeline.prepare(looks)]
        if not batches:
            continue
        tracks = tracker.follow(number, regions, np.concatenate([rows for _, rows in batches]), frame.opening)
        decisions = [d for batch, rows in batches for d in pipeline.judge(batch, rows, line.strict)]
        for region, track, decision in zip(regions, tracks, decisions, strict=True):
            yield frame.camera_id, frame.number, region, track.agree(decision)
