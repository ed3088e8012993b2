"""The search: memory of every point first, then what is recognised, once for each form of which a point fits.

    open every network at every size -> ledger of every point (none fits: the plan ends here, nothing is measured)
      -> float, INT8, and where a gate refuses INT8, INT8 with layers in float -> times -> choice

Accuracy is measured on labelled photos by the same judge as the gate of `builder.gate`, so building the chosen point
runs none of it again. float16 is what TensorRT could make: its memory and time are predicted and its accuracy is
float's, for comparison; edge-build makes none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import onnx
from msgspec import structs

from builder.budget import Line, largest, ledger_for, load_lines
from builder.gate import GATE_SHAPE, Accuracy
from builder.plan.latency import FLOAT, measured_ms, roofline_ms
from builder.plan.points import Form, Limits, Plan, Point, Unusable, chosen, judged
from builder.prepare import Graphs, Progress, Request, float_graphs, prepare
from builder.recognition import Judge, Shape
from builder.sensitivity import cosine_to, features_of
from builder.trial import Trial, judge_of
from edge.errors import GateError, InputError, ModelError

__all__ = ["Axes", "search"]

BYTES = {"int8": 1, "float16": 2, "float32": 0}  # as `builder.budget` plans them; 0: the float graph itself
HERE = "measured on this machine, one thread"
THERE = "predicted from the device's peak rates: a floor"


@dataclass(frozen=True, slots=True)
class Axes:
    """What is tried for each form."""

    batches: tuple[int, ...]
    dimensions: tuple[int, ...]
    prototypes: tuple[int, ...]

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """Every length with every number of prototypes, and the gate's own."""
        grid = [Shape(dimension, count) for dimension in self.dimensions for count in self.prototypes]
        return tuple(dict.fromkeys([*grid, GATE_SHAPE]))


@dataclass(frozen=True, slots=True, eq=False)
class _Made:
    """A form with the graph that its memory is predicted from; `planned` as in `ledger_for`."""

    form: Form
    graph: onnx.ModelProto
    planned: int


def search(requests: Sequence[Request], axes: Axes, limits: Limits, progress: Progress) -> tuple[Plan, Judge | None]:
    """Return the plan and what judged it. `requests` differ in model and size alone.

    Raises ModelError for a backbone that takes no size, InputError where no photo is labelled.
    """
    opened, unusable = _opened(requests)
    made = [one for request, graphs in opened for one in _unmeasured(request, graphs)]
    judge = None
    if any(_fits(one, axes, requests[0], limits) for one in made):
        judge = judge_of(requests[0], axes.shapes)
        if judge is None:
            raise InputError(
                f"{requests[0].images}: a plan needs labelled photos: a sub-folder per product; give --labelled"
            )
        made = [one for request, graphs in opened for one in _tried(request, graphs, (judge, axes, limits), progress)]
    points = [point for index, one in enumerate(made) for point in _points(index, one, axes, requests[0])]
    forms = tuple(one.form for one in made)
    plan = Plan(
        device=requests[0].device.module,
        engine=requests[0].load.engine,
        limits=limits,
        photos=0 if judge is None else len(judge.labelled.paths),
        products=0 if judge is None else len(judge.labelled.skus),
        forms=forms,
        points=chosen([judged(forms[point.form], point, limits) for point in points], limits),
        unusable=unusable,
        largest=_largest(made, points, requests[0]),
    )
    return plan, judge


def _opened(requests: Sequence[Request]) -> tuple[list[tuple[Request, Graphs]], tuple[Unusable, ...]]:
    opened, refused = [], []
    errors: dict[Path, ModelError] = {}
    for request in requests:
        try:
            opened.append((request, float_graphs(request)))
        except ModelError as error:
            errors.setdefault(request.model, error)
            refused.append(Unusable(request.model.stem, request.size or 0, str(error)))
    for model, reason in errors.items():
        if not any(request.model == model for request, _ in opened):
            raise reason
    return opened, tuple(refused)


def _unmeasured(request: Request, graphs: Graphs) -> list[_Made]:
    names = [name for name in BYTES if name != "float16" or request.load.engine == "tensorrt"]
    return [
        _Made(Form(model=request.model.stem, size_px=graphs.spec.height_px, precision=name), graphs.model, BYTES[name])
        for name in names
    ]


def _fits(made: _Made, axes: Axes, request: Request, limits: Limits) -> bool:
    return any(point.memory_mib <= limits.memory_mib for point in _points(0, made, axes, request))


def _tried(request: Request, graphs: Graphs, how: tuple[Judge, Axes, Limits], progress: Progress) -> list[_Made]:
    """Return the forms of a network with what they recognise and how long they take, where a point of them fits."""
    judge, axes, limits = how
    made = _unmeasured(request, graphs)
    usable = [_fits(one, axes, request, limits) for one in made]
    if not any(usable):
        return made
    bench = _Bench(request, Trial(request, prepare(request, graphs, progress), judge, progress), axes, limits)
    found = []
    for one, fits in zip(made, usable, strict=True):
        found.append(bench.measured(one) if fits else one)
        if fits and one.form.precision == "int8" and found[-1].form.refused:
            found.append(bench.with_layers_in_float(one.form))
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Bench:
    """One network at one size, ready to be measured in every form."""

    request: Request
    trial: Trial
    axes: Axes
    limits: Limits

    def measured(self, made: _Made) -> _Made:
        """Return a form with what it recognises, its times, and the gate that it fails."""
        if made.form.precision == "int8":
            return replace(made, form=self._with_times(self._int8(made.form)))
        source = "float's" if made.form.precision == "float16" else "measured"
        form = structs.replace(made.form, accuracy=source, top1=self._top1(exact=True))
        return replace(made, form=self._with_times(form))

    def with_layers_in_float(self, form: Form) -> _Made:
        """Return the INT8 form with as many layers in float as both gates ask for; refused where that is too many."""
        refused = ""
        try:
            if self._cosine() < self.request.min_cosine:
                self.trial.keep_for_cosine()
            self.trial.until_recognised(self._graph_fits)
        except GateError as error:
            refused = str(error)
        kept = self.trial.kept
        form = structs.replace(form, in_float=len(kept.layers) if kept is not None else 0)
        found = self._int8(form)
        made = _Made(structs.replace(found, refused=found.refused or refused), self.trial.graph("onnxruntime"), 0)
        return replace(made, form=self._with_times(made.form))

    def _int8(self, form: Form) -> Form:
        accuracy = self.trial.accuracy()
        assert accuracy is not None  # a plan has a judge
        all_products = accuracy.overall
        return structs.replace(
            form,
            accuracy="measured",
            top1=self._top1(exact=False),
            loss=(all_products.loss, all_products.low or 0.0, all_products.high or 0.0),
            refused=self._refusal(accuracy),
        )

    def _refusal(self, accuracy: Accuracy) -> str:
        """Say which gate of a build the graph as it is would fail; empty for none."""
        cosine = self._cosine()
        if not cosine >= self.request.min_cosine:
            return f"mean cosine {cosine:.4f} to float, expected at least {self.request.min_cosine:g}"
        return "; ".join(f"{line.name}: {line.loss:.2f} points less than float" for line in accuracy.failed)

    def _cosine(self) -> float:
        """Return what the gate of parity will see, on the photos that set no ranges."""
        prepared, written = self.trial.prepared, self.request.as_written
        crops = prepared.photos.held_out
        exact = features_of(prepared.graphs.model, crops)
        return cosine_to(exact, crops, as_written=written)(self.trial.graph())

    def _top1(self, *, exact: bool) -> dict[str, float]:
        """Return the share of photos that are right at each shape, products counting alike."""
        labels = self.trial.labels
        photos = np.bincount(labels)
        return {
            f"{shape.dimension}x{shape.prototypes}": float(
                (np.bincount(labels, weights=best == labels) / photos).mean()
            )
            for shape, best in self.trial.recognised(exact=exact).items()
        }

    def _with_times(self, form: Form) -> Form:
        graphs, batches = self.trial.prepared.graphs, self.axes.batches
        if self.request.load.engine == "onnxruntime":
            model = graphs.model if form.precision == "float32" else self.trial.graph()
            return structs.replace(form, latency=HERE, latency_ms=measured_ms(model, graphs.spec, batches))
        kept = self.trial.kept.nodes if form.in_float and self.trial.kept is not None else ()
        element = BYTES[form.precision] or FLOAT
        found = roofline_ms(graphs.model, self.request.device, batches, element, kept)
        return structs.replace(form, latency=THERE if found else "not known", latency_ms=found)

    def _graph_fits(self, graph: onnx.ModelProto) -> bool:
        made = _Made(Form(model="", size_px=1, precision="int8"), graph, 0)
        return _fits(made, self.axes, self.request, self.limits)


def _points(form: int, made: _Made, axes: Axes, request: Request) -> list[Point]:
    """Return every point of a form with its memory; the network is gone through once a batch."""
    points = []
    for batch in axes.batches:
        base = ledger_for(made.graph, request.device, replace(request.load, max_batch=batch), planned=made.planned)
        for dimension, count in product(axes.dimensions, axes.prototypes):
            load = replace(request.load, max_batch=batch, dimension=dimension, prototypes=count)
            memory = base.network_mib + sum(line.mib for line in load_lines(request.device, load))
            points.append(Point(form=form, batch=batch, dimension=dimension, prototypes=count, memory_mib=memory))
    return points


def _largest(made: Sequence[_Made], points: Sequence[Point], request: Request) -> tuple[Line, ...]:
    """Return the three largest lines of the point that needs least memory."""
    nearest = min(points, key=lambda point: point.memory_mib)
    load = replace(request.load, max_batch=nearest.batch, dimension=nearest.dimension, prototypes=nearest.prototypes)
    one = made[nearest.form]
    return largest(ledger_for(one.graph, request.device, load, planned=one.planned))
