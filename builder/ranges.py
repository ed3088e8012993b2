"""Finds the ranges of the activations: one pass over photos, from which every quantised graph is made.

By ONNX Runtime's calibrators on the float graph; `METHODS` has the three ways:

    minmax      smallest and largest value of each tensor
    percentile  what holds 99.99 % of its values
    entropy     the cut that loses least information (Migacz, 8-bit Inference with TensorRT, GTC 2017)

Which is best depends on the network: wide ranges waste steps on outliers, narrow ones cut off what matters. So they are
compared by the features that come out, not by the ranges (`builder.build`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeAlias

import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, create_calibrator
from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

from builder.optimise import IMAGES
from builder.vendor_log import quiet
from edge.errors import ModelError
from edge.types import Crops

__all__ = ["METHODS", "OPERATORS", "Ranges", "find_ranges"]

OPERATORS = tuple(sorted({*QLinearOpsRegistry, *QDQRegistry}))  # what ONNX Runtime has integer forms of

METHODS: dict[str, tuple[CalibrationMethod, dict[str, Any]]] = {
    "minmax": (CalibrationMethod.MinMax, {}),
    "percentile": (CalibrationMethod.Percentile, {"percentile": 99.99, "num_bins": 2048}),
    "entropy": (CalibrationMethod.Entropy, {"num_bins": 128, "num_quantized_bins": 128}),
}

Ranges: TypeAlias = Any  # the vendor's, of which it publishes no types: tensor name -> lowest and highest value


class _Batches(CalibrationDataReader):  # type: ignore[misc]  # the vendor publishes no types
    """Hands batches of crops to the calibrator one at a time and reports each."""

    def __init__(self, batches: Iterable[Crops], on_photos: Callable[[int], None]) -> None:
        self._batches = iter(batches)
        self._on_photos = on_photos

    def get_next(self) -> dict[str, Any] | None:
        """Return the next batch as the graph's inputs, None at the end."""
        batch = next(self._batches, None)
        if batch is None:
            return None
        self._on_photos(len(batch))
        return {IMAGES: batch}


def find_ranges(
    path: Path,
    model: onnx.ModelProto,
    batches: Iterable[Crops],
    on_photos: Callable[[int], None],
    method: str = "minmax",
) -> Ranges:
    """Run the float graph on crops (n, H, W, 3) uint8, read once; `on_photos` hears how many photos were run.

    `method` is one of METHODS.

    Raises ModelError, naming `path`, where the graph cannot be run.
    """
    # Not max_intermediate_outputs: ONNX Runtime 1.31 forgets what it saw at each limit.
    with tempfile.TemporaryDirectory() as folder, quiet():
        given, augmented = Path(folder) / "float.onnx", Path(folder) / "augmented.onnx"
        onnx.save(model, given)
        try:
            kind, options = METHODS[method]
            calibrator = create_calibrator(
                given, OPERATORS, augmented_model_path=str(augmented), calibrate_method=kind, extra_options=options
            )
            for batch in batches:  # one at a time: histograms of a batch are merged before the next is run
                calibrator.collect_data(_Batches([batch], on_photos))
            return calibrator.compute_data()
        except (ValueError, RuntimeError, TypeError, KeyError, AttributeError, IndexError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise ModelError(
                f"{path}: its ranges cannot be found ({reason}); export it with other operators"
            ) from error
