"""What lies in one place from frame to frame, and whether its looks agree: what stands between a look and the bill.

What is certified is the error of one photo. A thing in a cart is looked at forty times, and one look that passes by
chance would be enough to charge for it wrongly. So a look is accepted only while its track agrees.

- A look continues the track of its camera whose last look it overlaps most, best pairs first (the IoU tracker:
  Bochinski, Eiselein, Sikora 2017), if the two resemble each other: intersection over union of at least SAME_PLACE and
  cosine of the embeddings of at least SAME_THING. Other looks begin a track, so a hand or the next product in the same
  place is not what was there before. A track without a look for GONE frames of its camera is over.
- When a camera was opened again nobody knows what happened meanwhile: its tracks go on, so that a thing which still
  lies there is not charged for twice, but their looks begin anew.
- When another bundle decides, its embeddings say nothing beside those of the one before: for the next look a track goes
  on by its place alone, and its looks begin anew.
- ACCEPT stays ACCEPT only where the track has had `looks` looks, and at least half of its last WINDOW looks were
  accepted as the same product. Otherwise it becomes VERIFY and the reason says which of the two is missing. Every other
  route passes unchanged: nothing is accepted that the look alone would not be.

Why half: the looks at a thing are no independent photos, but each of them errs as often as a photo does. Running means
of exchangeable values are a reversed martingale, so however many looks there are, and whenever one asks, the share of
things that were ever accepted wrongly is at most twice the share of photos that are (Ramdas and Manole 2023, the
exchangeable Markov inequality). That holds for looks which are exchangeable, and for WINDOW looks; what
happens on clips is measured (benchmarks/).

No clock, no I/O, no randomness. State is of one camera, and bounded: MAX_TRACKS tracks of WINDOW looks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edge.boxes import Boxes, overlaps
from edge.engine_row import split_rows
from edge.types import Decision, Embeddings, EngineRows, Reason, Region, Route

__all__ = ["GONE", "MAX_TRACKS", "SAME_PLACE", "SAME_THING", "WINDOW", "Track", "Tracker"]

SAME_PLACE = 0.5
SAME_THING = 0.5  # measured: 98 % of looks at a lying thing have 0.84 to the one before, 90 % of others 0.13 or less
GONE = 15  # frames that were located in, with or without regions
WINDOW = 32
MAX_TRACKS = 256  # a locator reports at most 256 regions


class Track:
    """One thing, as far as its place tells: `number` counts the tracks of the camera from 0, `looks` its looks.

    `accepts` is how often it was accepted; beginning anew does not forget that.
    """

    def __init__(self, number: int, needed: int) -> None:
        self.number = number
        self.looks = 0
        self.accepts = 0
        self._needed = needed
        self._accepted: deque[str | None] = deque(maxlen=WINDOW)  # the product as which each look was accepted

    def begin_anew(self, needed: int) -> None:
        """Forget the looks: what was seen so far says nothing about what comes. `needed` looks are needed from now."""
        self.looks = 0
        self._needed = needed
        self._accepted.clear()

    def agree(self, decision: Decision) -> Decision:
        """Count one look, in the order of frames, and return what it may be."""
        self.looks += 1
        accepted = decision.sku if decision.route is Route.ACCEPT else None
        self._accepted.append(accepted)
        if accepted is None:
            return decision
        if self.looks < self._needed:
            return replace(decision, route=Route.VERIFY, reasons=(Reason.FEW_LOOKS,))
        if 2 * self._accepted.count(accepted) < len(self._accepted):
            return replace(decision, route=Route.VERIFY, reasons=(Reason.LOOKS_DISAGREE,))
        self.accepts += 1
        return decision


class Tracker:
    """Finds the track of each look of one camera, frame after frame.

    `looks` is how many looks a thing needs before one can be accepted. 1 is for pictures that are each about another
    thing, a folder of photos or a triggered camera: every look is a track of its own then, held to the certificate of a
    photo and to nothing more.
    """

    def __init__(self, looks: int) -> None:
        self._looks = looks
        self._frame = 0
        self._opening = 0
        self._begun = 0
        self._tracks: list[Track] = []
        self._seen: list[int] = []  # the frame of each track's last look
        self._boxes: Boxes = np.zeros((0, 4), np.int64)  # of the last looks
        self._embeddings: Embeddings = np.zeros((0, 0), np.float32)  # of the last looks; NaN for another engine's

    def next_frame(self) -> int:
        """Return the number of the next frame that is located in, for `follow`; every frame takes one."""
        self._frame += 1
        return self._frame

    def follow(self, frame: int, regions: Sequence[Region], rows: EngineRows, opening: int = 0) -> tuple[Track, ...]:
        """Return the track of each of N looks in `frame`, with their (N, D + 1) rows of the engine.

        Frames come in order; the looks of one frame may come in several calls. `opening` is that of the frame.
        """
        if self._looks == 1:
            return tuple(self._new() for _ in regions)
        boxes = np.array([_corners(region) for region in regions], np.int64).reshape(-1, 4)
        embeddings, _ = split_rows(rows)
        if self._embeddings.shape[1] != embeddings.shape[1]:  # no row can be compared
            self._embeddings = np.full((len(self._tracks), embeddings.shape[1]), np.nan, np.float32)
        self._forget(frame)
        if opening != self._opening:
            self._opening = opening
            self._forget_looks()
        continued = _pairs(self._likeness(frame, boxes, embeddings))
        found = [self._tracks[continued[look]] if look in continued else self._new() for look in range(len(regions))]
        others = [track for track in range(len(self._tracks)) if track not in continued.values()]
        self._keep(others)
        self._tracks[:0] = found
        self._seen[:0] = [frame] * len(found)
        self._boxes = np.concatenate([boxes, self._boxes])
        self._embeddings = np.concatenate([embeddings, self._embeddings])
        return tuple(found)

    def require(self, looks: int) -> None:
        """Ask for so many looks from now on, where it is another number than before; tracks go on, looks begin anew."""
        if looks != self._looks:
            self._looks = looks
            self._forget_looks()

    def take_other_engine(self) -> None:
        """The next rows are another engine's: tracks go on by place alone, looks begin anew."""
        self._embeddings = np.zeros((len(self._tracks), 0), np.float32)
        self._forget_looks()

    def forget(self) -> None:
        """Let go of all tracks; their numbers are not used again."""
        self._keep([])

    def _forget_looks(self) -> None:
        for track in self._tracks:
            track.begin_anew(self._looks)

    def _new(self) -> Track:
        self._begun += 1
        return Track(self._begun - 1, self._looks)

    def _forget(self, frame: int) -> None:
        """Let go of tracks that are over, and of those seen least lately where there are too many."""
        self._keep([track for track, seen in enumerate(self._seen) if frame - seen <= GONE][:MAX_TRACKS])

    def _keep(self, tracks: list[int]) -> None:
        self._tracks = [self._tracks[track] for track in tracks]
        self._seen = [self._seen[track] for track in tracks]
        self._boxes, self._embeddings = self._boxes[tracks], self._embeddings[tracks]

    def _likeness(self, frame: int, boxes: Boxes, embeddings: Embeddings) -> NDArray[np.float64]:
        """Return (N, M) how much of its place each look shares with each track, 0 where it cannot continue it."""
        if not self._tracks:
            return np.zeros((len(boxes), 0))
        share = overlaps(boxes, self._boxes)
        alike = ~(embeddings @ self._embeddings.T < SAME_THING)  # NaN: a row of another engine, only the place tells
        alike &= embeddings.any(axis=1, keepdims=True)
        waiting = np.array(self._seen) < frame
        return np.where((share >= SAME_PLACE) & alike & waiting, share, 0.0)


def _corners(region: Region) -> tuple[int, int, int, int]:
    return region.x, region.y, region.x + region.width, region.y + region.height


def _pairs(likeness: NDArray[np.float64]) -> dict[int, int]:
    """Return which look continues which track: the best likeness first, each once, the first among equals."""
    possible = np.argwhere(likeness > 0)
    order = np.argsort(-likeness[possible[:, 0], possible[:, 1]], kind="stable")
    pairs: dict[int, int] = {}
    for look, track in possible[order].tolist():
        if look not in pairs and track not in pairs.values():
            pairs[look] = track
    return pairs
