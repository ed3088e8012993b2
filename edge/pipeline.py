"""The order of the stages: crops -> engine -> lookup -> ood -> confidence -> route. No other file knows it.

Decides about crops; where they come from (camera, photo, recording) and where decisions go is not its business, so the
daemon, `edge-classify`, replay and calibration's final measurement run the very same code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge import confidence, lookup, ood, preprocess
from edge.bundle import Bundle
from edge.errors import BundleError
from edge.ports import Engine
from edge.route import Evidence, Limits, route
from edge.types import Candidate, Crops, Decision, Embeddings, Image, Similarities

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
    `embed` may run in another thread than the other two, one call at a time.
    """

    def __init__(self, bundle: Bundle, engine: Engine) -> None:
        self._bundle = bundle
        self._engine = engine
        self._index = lookup.index_from_table(bundle.table)
        method = bundle.rules.ood.method
        if method not in ood.METHODS:
            expected = f"expected one of {', '.join(sorted(ood.METHODS))}; calibrate with this version"
            raise BundleError(f"{bundle.path}: unknown detector {method!r}, {expected}")
        self._strangeness = ood.METHODS[method]
        self._max_batch = min(engine.max_batch, bundle.info.max_batch)

    def decide(self, images: Sequence[Image]) -> list[Decision]:
        """Return one decision per picture (h, w, 3) uint8 BGR, in order, in batches of what the engine takes."""
        return [d for batch in self.prepare(images) for d in self.judge(batch, self.embed(batch))]

    def prepare(self, images: Sequence[Image]) -> Iterator[Batch]:
        """Yield batches of fitted copies: the pictures may be gone once the last batch was taken."""
        spec = self._bundle.info.input
        for start in range(0, len(images), self._max_batch):
            some = images[start : start + self._max_batch]
            crops: Crops = np.empty((len(some), spec.height_px, spec.width_px, 3), np.uint8)
            for image, crop in zip(some, crops, strict=True):
                preprocess.fit_into(image, spec, crop)
            sides = tuple(min(image.shape[:2]) for image in some)
            yield Batch(crops, sides, tuple(preprocess.sharpness(crops)))

    def embed(self, batch: Batch) -> Embeddings:
        """Run the engine: (N, D) unit rows."""
        return self._engine.embed(batch.crops)

    def judge(self, batch: Batch, embeddings: Embeddings) -> list[Decision]:
        """Return decisions for a batch and its (N, D) embeddings."""
        rules = self._bundle.rules
        scores = lookup.similarities(self._index, embeddings)
        best = lookup.top(scores, CANDIDATES)
        similarity = np.take_along_axis(scores, best[:, :1], axis=1)[:, 0]
        second = (
            np.take_along_axis(scores, best[:, 1:2], axis=1)[:, 0]
            if best.shape[1] > 1
            else np.full_like(similarity, -1)
        )
        p_correct = confidence.p_correct(rules.confidence, best[:, 0], similarity, similarity - second)
        strange = self._strangeness(scores)
        finite = np.abs(embeddings).sum(axis=1) > 0
        decisions = []
        for row in range(len(embeddings)):
            evidence = Evidence(
                finite=bool(finite[row]),
                similarity=float(similarity[row]),
                confidence=float(p_correct[row]),
                ood_score=float(strange[row]),
                set_size=int((scores[row] >= similarity[row] - rules.cuts.set_gap).sum()),
                side_px=batch.sides_px[row],
                sharpness=batch.sharpness[row],
            )
            decisions.append(self._decision(evidence, scores[row], best[row]))
        return decisions

    def _decision(self, evidence: Evidence, scores: Similarities, best: NDArray[np.intp]) -> Decision:
        top = int(best[0])
        chosen, reasons = route(evidence, self._limits(top))
        classes = self._bundle.classes
        return Decision(
            route=chosen,
            sku=classes[top].sku if evidence.finite else None,
            confidence=evidence.confidence if evidence.finite else 0.0,
            ood_score=evidence.ood_score,
            candidates=tuple(Candidate(classes[c].sku, float(scores[c])) for c in best) if evidence.finite else (),
            verify_set=self._verify_set(scores, best) if evidence.finite else (),
            reasons=reasons,
        )

    def _limits(self, best: int) -> Limits:
        cuts, rules = self._bundle.rules.cuts, self._bundle.rules
        return Limits(
            accept_confidence=float(cuts.accept_confidence[best]),
            accept_similarity=float(cuts.accept_similarity[best]),
            verify_confidence=float(cuts.verify_confidence[best]),
            ood_threshold=rules.ood.threshold,
            max_set=cuts.max_set,
            min_side_px=rules.quality.min_side_px,
            min_sharpness=rules.quality.min_sharpness,
            has_twin=bool(cuts.twin[best] >= 0),
            discontinued=self._bundle.classes[best].status == "discontinued",
        )

    def _verify_set(self, scores: Similarities, best: NDArray[np.intp]) -> tuple[str, ...]:
        """Return the products within the conformal gap of the best, and its twin and successor, best first."""
        cuts, top = self._bundle.rules.cuts, int(best[0])
        members = [int(c) for c in best if scores[c] >= scores[top] - cuts.set_gap][: cuts.max_set]
        for other in (int(cuts.twin[top]), int(cuts.successor[top])):
            if other >= 0 and other not in members:
                members.append(other)
        return tuple(self._bundle.classes[c].sku for c in members)
