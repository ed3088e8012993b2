"""One backbone at one input size on trial: quantised, with as many layers in float as cosine and recognition ask for.

Layers are ranked once, on photos that set the ranges (`builder.sensitivity`); how many of them stay in float for the
sake of recognition is found by doubling: the first number that fails no line of `builder.gate`. So labelled photos
choose that number, one of six at most, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable

import onnx

from builder.bytes_to_float import float_input
from builder.gate import GATE_SHAPE, Accuracy, accuracy_of, refuse_losses
from builder.labelled import find_labelled
from builder.prepare import Prepared, Progress, Request
from builder.recognition import Best, Judge, Shape
from builder.sensitivity import Kept, Measure, Quantise, Ranked, groups_of, keep_fewest, keep_first, ranked
from edge.errors import InputError

__all__ = ["Trial", "judge_of"]

MARGIN = 0.1  # of what may be lost: layers are chosen for as much more, because other photos judge them


class Trial:
    """One backbone at one size, quantised with more or fewer layers in float, and what each form recognises."""

    def __init__(self, request: Request, prepared: Prepared, judge: Judge | None, progress: Progress) -> None:
        self.prepared = prepared
        self.kept: Kept | None = None
        self._request, self._judge, self._progress = request, judge, progress
        self._ranked: Ranked | None = None
        self._made: dict[str, tuple[frozenset[str], onnx.ModelProto]] = {}  # by engine, the last one

    @property
    def labels(self) -> Best:
        """The true classes of the labelled photos."""
        assert self._judge is not None
        return self._judge.labelled.labels

    def graph(self, engine: str | None = None) -> onnx.ModelProto:
        """Return the graph for an engine (None: the one that runs), the layers kept so far in float.

        It is made once, for that takes seconds, and handed to several: none may change it.
        """
        engine = engine or self._request.load.engine
        nodes = frozenset(self.kept.nodes) if self.kept is not None else frozenset()
        if engine not in self._made or self._made[engine][0] != nodes:
            self._made[engine] = nodes, self.prepared.by_engine[engine](nodes)
        return self._made[engine][1]

    def keep_for_cosine(self) -> None:
        """Keep the fewest layers in float that bring the features up to the gate of parity."""
        request = self._request
        least = request.min_cosine + MARGIN * (1.0 - request.min_cosine)
        self.kept = keep_fewest(self._sensitive(), self._quantise, self._measure, least)

    def keep_more(self) -> bool:
        """Keep twice as many layers in float as now, half of all at most; False where that many are kept already."""
        layers = self._sensitive()
        kept = len(self.kept.layers) if self.kept is not None else 0
        if kept >= layers.most:
            return False
        count = min(max(2 * kept, 1), layers.most)
        self.kept = keep_first(layers, count, self._quantise, self._measure)
        return True

    def recognised(self, *, exact: bool = False) -> dict[Shape, Best]:
        """Return what the graph that runs recognises, or the float one."""
        assert self._judge is not None
        model = self.prepared.graphs.model if exact else self.graph()
        if exact and self._request.as_written:
            model = float_input(model)
        what = "float" if exact else "INT8"
        with self._progress.step(f"recognise, {what}", len(self._judge.labelled.paths)) as done:
            return self._judge.best(
                model, self.prepared.graphs.spec, as_written=self._request.as_written and not exact, advance=done
            )

    def accuracy(self) -> Accuracy | None:
        """Return what the graph that runs recognises less than float; None where nothing is measured."""
        if self._judge is None or not self._request.is_int8:
            return None
        before, after = self.recognised(exact=True)[GATE_SHAPE], self.recognised()[GATE_SHAPE]
        limits = self._request.max_loss, self._request.max_tier_loss
        return accuracy_of(self._judge.labelled, before, after, limits, self._request.seed)

    def until_recognised(self, fits: Callable[[onnx.ModelProto], bool]) -> Accuracy | None:
        """Keep layers in float until recognition fails nowhere; None where nothing is measured.

        `fits` says of the graph for CPUs whether its memory does. Raises GateError where half of the layers, or all
        that fit, are not enough.
        """
        accuracy = self.accuracy()
        while accuracy is not None and accuracy.failed:
            before = self.kept
            if not self.keep_more():
                refuse_losses(accuracy, _tried(before))
            if not fits(self.graph("onnxruntime")):
                self.kept = before
                refuse_losses(accuracy, f"{_tried(before)}, and with more in float it does not fit the memory")
            accuracy = self.accuracy()
        return accuracy

    @property
    def _quantise(self) -> Quantise:
        return self.prepared.by_engine[self._request.load.engine]

    @property
    def _measure(self) -> Measure:
        return self.prepared.measure(self._request.load.engine)

    def _sensitive(self) -> Ranked:
        if self._ranked is None:
            groups = groups_of(self.prepared.graphs.model)
            with self._progress.step("find sensitive layers", len(groups)) as done:
                self._ranked = ranked(groups, self._quantise, self._measure, done)
        return self._ranked


def judge_of(request: Request, shapes: tuple[Shape, ...] = (GATE_SHAPE,)) -> Judge | None:
    """Return what measures graphs on the request's labelled photos; None where there are none or none are wanted.

    Raises InputError where they were asked for and are not there.
    """
    if request.labelled_photos == 0:
        return None
    folder = request.labelled or request.images
    found = find_labelled(folder, request.labelled_photos, request.seed)
    if found is None and request.labelled is not None:
        raise InputError(
            f"{folder}: no sub-folder per product with two different photos or more, expected two products at least; "
            "--labelled takes a folder like catalogue/reference, or a catalogue"
        )
    return None if found is None else Judge(found, shapes)


def _tried(kept: Kept | None) -> str:
    if kept is None or not kept.layers:
        return ""
    return f" with {len(kept.layers)} of {kept.groups} layers in float"
