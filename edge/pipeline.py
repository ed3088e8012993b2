"""The order of the stages: crops -> engine -> lookup -> ood -> confidence -> route. No other file knows it.

Decides about crops; where they come from (camera, photo, recording) and where decisions go is not its business, so the
daemon, `edge-classify`, replay and calibration's final measurement run the very same code.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge import confidence, lookup, ood, preprocess
from edge.bundle import Bundle
from edge.ports import Engine
from edge.route import Evidence, Limits, route
from edge.types import Candidate, Crops, Decision, Embeddings, Image, Similarities

__all__ = ["CANDIDATES", "Pipeline"]

CANDIDATES = 5


class Pipeline:
    """Decides with one bundle on one open engine. Holds one batch of input memory and reuses it."""

    def __init__(self, bundle: Bundle, engine: Engine) -> None:
        self._bundle = bundle
        self._engine = engine
        self._index = lookup.index_from_table(bundle.table)
        self._strangeness = ood.METHODS[bundle.rules.ood.method]
        spec = bundle.info.input
        self._batch: Crops = np.empty(
            (min(engine.max_batch, bundle.info.max_batch), spec.height_px, spec.width_px, 3), np.uint8
        )

    def decide(self, images: Sequence[Image]) -> list[Decision]:
        """Return one decision per picture (h, w, 3) uint8 BGR, in order, in batches of what the engine takes."""
        decisions: list[Decision] = []
        for start in range(0, len(images), len(self._batch)):
            decisions += self._decide_batch(images[start : start + len(self._batch)])
        return decisions

    def _decide_batch(self, images: Sequence[Image]) -> list[Decision]:
        crops = self._batch[: len(images)]
        for image, crop in zip(images, crops, strict=True):
            preprocess.fit_into(image, self._bundle.info.input, crop)
        sides = [min(image.shape[:2]) for image in images]
        return self.judge(self._engine.embed(crops), sides, preprocess.sharpness(crops))

    def judge(self, embeddings: Embeddings, sides_px: Sequence[int], sharpness: Sequence[float]) -> list[Decision]:
        """Return decisions for (N, D) embeddings whose crops had these shorter sides (px) and sharpness."""
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
                side_px=sides_px[row],
                sharpness=sharpness[row],
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
