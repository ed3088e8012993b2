"""The order of the stages: crops -> engine -> lookup -> ood -> confidence -> route. No other file knows it.

Decides about crops; where they come from (camera, photo, recording) and where decisions go is not its business, so the
daemon, `edge-classify`, replay and calibration's final measurement run the very same code.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from edge import confidence, lookup, ood, preprocess
from edge.bundle import Bundle
from edge.engine_row import split_rows
from edge.errors import BundleError
from edge.ports import Engine
from edge.route import Evidence, Limits, route
from edge.types import Candidate, Crops, Decision, Embeddings, EngineRows, Expected, Image, Similarities

__all__ = ["CANDIDATES", "Batch", "Pipeline"]

CANDIDATES = 5


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Crops made ready for the engine, with what the rules need to know about each."""

    crops: Crops
    sides_px: tuple[int, ...]  # the shorter side of each picture before it was resized
    sharpness: tuple[float, ...]


class Pipeline:
    """Decides with one bundle on one open engine.

    `decide` runs all stages. A caller that overlaps them (the daemon) calls `prepare`, `embed` and `judge` itself;
    `embed` may run in another thread than the other two, one call at a time. What is decided about a crop does not
    depend on the crops beside it, as far as the engine's rows do not. `nearest` looks up, by default the CPU.
    """

    def __init__(self, bundle: Bundle, engine: Engine, nearest: lookup.Nearest | None = None) -> None:
        self._bundle = bundle
        self._engine = engine
        self._index = lookup.index_from_table(bundle.table, nearest)
        try:
            self._strangeness = ood.prepare(bundle.rules.ood, bundle.table)
        except BundleError as error:
            raise BundleError(f"{bundle.path}: {error}") from None
        self._max_batch = min(engine.max_batch, bundle.info.max_batch)

    def decide(self, images: Sequence[Image]) -> list[Decision]:
        """Return one decision per picture (h, w, 3) uint8 BGR, in order, in batches of what the engine takes."""
        return [d for batch in self.prepare(images) for d in self.judge(batch, self.embed([batch]))]

    @property
    def max_batch(self) -> int:
        """How many crops `embed` takes at once at most."""
        return self._max_batch

    def prepare(self, images: Sequence[Image], at_most: int = 0) -> Iterator[Batch]:
        """Yield batches of fitted copies, of `at_most` crops where it is not 0.

        The pictures may be gone once the last batch was taken.
        """
        spec, size = self._bundle.info.input, min(self._max_batch, at_most or self._max_batch)
        for start in range(0, len(images), size):
            some = images[start : start + size]
            crops: Crops = np.empty((len(some), spec.height_px, spec.width_px, 3), np.uint8)
            for image, crop in zip(some, crops, strict=True):
                preprocess.fit_into(image, spec, crop)
            sides = tuple(min(image.shape[:2]) for image in some)
            yield Batch(crops, sides, tuple(preprocess.sharpness(crops)))

    def embed(self, batches: Sequence[Batch]) -> EngineRows:
        """Run the engine once on batches of `max_batch` crops together at most, one or more.

        Returns (N, D + 1) unit rows, of which `judge` makes embeddings and expected similarities.
        """
        crops = batches[0].crops if len(batches) == 1 else np.concatenate([batch.crops for batch in batches])
        return self._engine.embed(crops)

    def judge(self, batch: Batch, rows: EngineRows, strict: bool = False) -> list[Decision]:
        """Return decisions for a batch and its (N, D + 1) rows; `strict`: at the cut points of the stricter promise."""
        rules = self._bundle.rules
        embeddings, expected = split_rows(rows)
        scores = lookup.similarities(self._index, embeddings)
        best = lookup.top(scores, CANDIDATES)
        alike = scores[np.arange(len(scores))[:, None], best]
        similarity = alike[:, 0]
        margin = similarity - (alike[:, 1] if alike.shape[1] > 1 else np.float32(-1))
        p_correct = confidence.p_correct(rules.confidence, best[:, 0], similarity, margin).tolist()
        strange = self._strange(scores, embeddings, expected)
        within = (scores >= alike[:, :1] - np.float32(rules.cuts.set_gap)).sum(axis=1).tolist()
        size = np.abs(embeddings).sum(axis=1).tolist()
        decisions = []
        for row, (classes, values) in enumerate(zip(best.tolist(), alike.tolist(), strict=True)):
            evidence = Evidence(
                finite=0.0 < size[row] < math.inf,
                confidence=p_correct[row],
                ood_score=strange[row],
                set_size=within[row],
                side_px=batch.sides_px[row],
                sharpness=batch.sharpness[row],
            )
            decisions.append(self._decision(evidence, classes, values, strict))
        return decisions

    def _strange(self, scores: Similarities, embeddings: Embeddings, expected: Expected) -> list[float]:
        """Return the detector's score of each row, asked row by row: a matrix product may sum in another order for many
        rows than for one.
        """
        rows = [slice(row, row + 1) for row in range(len(scores))]
        return [float(self._strangeness(scores[row], embeddings[row], expected[row])[0]) for row in rows]

    def _decision(self, evidence: Evidence, best: list[int], alike: list[float], strict: bool) -> Decision:
        """Return the decision for candidates `best`, classes by falling similarity `alike`."""
        chosen, reasons = route(evidence, self._limits(best[0], strict))
        if not evidence.finite:
            return Decision(chosen, None, 0.0, evidence.ood_score, (), (), reasons)
        classes = self._bundle.classes
        return Decision(
            route=chosen,
            sku=classes[best[0]].sku,
            confidence=evidence.confidence,
            ood_score=evidence.ood_score,
            candidates=tuple(Candidate(classes[c].sku, value) for c, value in zip(best, alike, strict=True)),
            verify_set=self._verify_set(best, evidence.set_size),
            reasons=reasons,
        )

    def _limits(self, best: int, strict: bool) -> Limits:
        cuts, rules = self._bundle.rules.cuts, self._bundle.rules
        return Limits(
            accept_confidence=float((cuts.strict_confidence if strict else cuts.accept_confidence)[best]),
            accept_strangeness=float((cuts.strict_strangeness if strict else cuts.accept_strangeness)[best]),
            verify_confidence=float(cuts.verify_confidence[best]),
            ood_threshold=rules.ood.threshold,
            max_set=cuts.max_set,
            min_side_px=rules.quality.min_side_px,
            min_sharpness=rules.quality.min_sharpness,
            has_twin=bool(cuts.twin[best] >= 0),
            discontinued=self._bundle.classes[best].status == "discontinued",
        )

    def _verify_set(self, best: list[int], size: int) -> tuple[str, ...]:
        """Return the `size` products within the conformal gap of the best, and its twin and successor, best first."""
        cuts, top = self._bundle.rules.cuts, best[0]
        members = best[: min(size, cuts.max_set)]
        for other in (int(cuts.twin[top]), int(cuts.successor[top])):
            if other >= 0 and other not in members:
                members.append(other)
        return tuple(self._bundle.classes[c].sku for c in members)
