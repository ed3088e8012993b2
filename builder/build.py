"""From a backbone to a sealed build folder: the only file that knows the order of the steps.

    float graph -> plan memory -> photos, ranges (`builder.prepare`) -> quantise -> compare
          (-> keep the most sensitive layers in float, compare again)
          -> recognise labelled photos (-> keep more layers in float, recognise again)
          -> gates of parity, recognition and memory -> seal

The folder appears only when every gate passed; what stood there before is untouched until then.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import onnx

from builder.budget import Ledger, changes_that_fit, ledger_for, refuse_over
from builder.gate import Accuracy
from builder.parity import Parity, measure_parity, refuse_below
from builder.prepare import Prepared, Progress, Request, float_graphs, prepare
from builder.recognition import Judge
from builder.report import report_values
from builder.sensitivity import Kept
from builder.taps import Tap
from builder.trial import Trial, judge_of
from edge.build_folder import GRAPH, GRAPHS, TRT_GRAPH, BuildInfo, write_build

__all__ = ["Built", "build"]

FLOAT_GRAPH = "float.onnx"


@dataclass(frozen=True, slots=True, eq=False)
class Built:
    """The build as it was sealed, and the figures in it for printing. `accuracy` is None where none was measured."""

    info: BuildInfo
    taps: tuple[Tap, ...]
    parity: Parity
    ledger: Ledger
    kept: Kept | None
    accuracy: Accuracy | None
    unreadable: tuple[Path, ...]


def build(request: Request, progress: Progress, judge: Judge | None = None, plan: Any = None) -> Built:
    """Build and seal; raises the errors of the steps: InputError, ModelError, ConfigError, GateError, EngineError.

    `judge` measured graphs already (None: one is made where photos are labelled). `plan` are plain values that say why
    this is built; they go into the report.
    """
    content: dict[str, Any] = {}
    with write_build(request.out, content) as folder:
        graphs = float_graphs(request)
        planned = ledger_for(graphs.model, request.device, request.load, planned=int(request.is_int8))
        progress.tell(planned)
        _refuse(planned, graphs.model, request, planned=int(request.is_int8))
        if judge is None and request.is_int8:
            judge = judge_of(request)
        trial = Trial(request, prepare(request, graphs, progress), judge, progress)
        parity, accuracy = _settled(trial, folder, request, progress)
        int8 = trial.graph("onnxruntime")
        ledger = ledger_for(int8, request.device, request.load)
        _refuse(ledger, int8, request)
        values = report_values(graphs.taps, graphs.parts, parity, ledger, trial.kept)
        values["ranges"] = {"method": trial.prepared.method, "cosine": trial.prepared.cosines}
        values["accuracy"] = msgspec.to_builtins(accuracy)
        values["exporter"] = "nvidia-modelopt" if request.modelopt is not None else "own"
        values["plan"] = plan
        info = _info(request, trial.prepared, values, ledger)
        content.update(msgspec.to_builtins(info))
    return Built(info, graphs.taps, parity, ledger, trial.kept, accuracy, trial.prepared.photos.unreadable)


def _settled(trial: Trial, folder: Path, request: Request, progress: Progress) -> tuple[Parity, Accuracy | None]:
    """Write the graphs that pass both gates, as many layers in float as that takes; raises GateError."""
    engine = request.load.engine
    without = parity = _parity(trial, folder, progress)
    if not parity.of(engine).cosine_mean >= request.min_cosine:
        trial.keep_for_cosine()
        parity = _parity(trial, folder, progress)
    refuse_below(parity, engine, request.min_cosine, trial.kept)
    kept = trial.kept
    accuracy = trial.until_recognised(lambda graph: ledger_for(graph, request.device, request.load).fits)
    if trial.kept is not kept:
        parity = _parity(trial, folder, progress)
    if trial.kept is not None:
        trial.kept = trial.kept.judged(without.of(engine).cosine_mean, parity.of(engine).cosine_mean)
    return parity, accuracy


def _refuse(ledger: Ledger, graph: onnx.ModelProto, request: Request, *, planned: int = 0) -> None:
    if not ledger.fits:
        refuse_over(ledger, changes_that_fit(graph, request.device, request.load, planned=planned))


def _parity(trial: Trial, folder: Path, progress: Progress) -> Parity:
    """Write both graphs into the folder that is being built and compare them, the float one there only meanwhile."""
    photos, float_graph = trial.prepared.photos, folder / FLOAT_GRAPH
    for engine, name in GRAPHS.items():
        onnx.save(trial.graph(engine), folder / name)
    onnx.save(trial.prepared.graphs.model, float_graph)
    try:
        with progress.step("compare INT8 with float", len(photos.held_out)) as done:
            return measure_parity(
                float_graph, (folder / GRAPH, folder / TRT_GRAPH), photos.held_out, photos.are_same, done
            )
    finally:
        float_graph.unlink()


def _info(request: Request, prepared: Prepared, report: dict[str, Any], ledger: Ledger) -> BuildInfo:
    graphs = prepared.graphs
    return BuildInfo(
        engine=request.load.engine,
        backbone=request.model.stem,
        backbone_sha256=hashlib.sha256(request.model.read_bytes()).hexdigest(),
        input=graphs.spec,
        feature_dimension=graphs.parts[-1].stop,
        max_batch=request.load.max_batch,
        taps=tuple(tap.tensor for tap in graphs.taps),
        device=request.device.module,
        images=len(prepared.photos.ranges),
        report=report,
        precision=request.precision,
        network_mib=round(ledger.network_mib, 1),
    )
