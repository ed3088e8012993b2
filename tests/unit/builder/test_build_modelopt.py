"""TensorRT's graph by nvidia-modelopt: what it must look like, and what is said where that Python has none.

The tests that run it need a Python that has it, named by SHELFEDGE_MODELOPT: PyTorch comes with it, 1.4 GB.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from quantised_nets import LITE, graphs, images, ranges_of, run
from small_nets import bottleneck_resnet, mobile, plain_resnet, vision_transformer
from test_build_trt_graph import compiled

from builder.bytes_to_float import float_input
from builder.cli import build
from builder.modelopt import modelopt_graph, refuse_other_form
from builder.quantise import cpu_graph, trt_graph
from edge.errors import InputError, ModelError

PATH = Path("m.onnx")
THEIRS = os.environ.get("SHELFEDGE_MODELOPT", "")
needs_modelopt = pytest.mark.skipif(not THEIRS, reason="SHELFEDGE_MODELOPT names no Python that has nvidia-modelopt")


def convolutions(model: onnx.ModelProto) -> set[str]:
    return {node.name for node in model.graph.node if node.op_type == "Conv"}


def in_integers(model: onnx.ModelProto) -> set[str]:
    makers = {name: node.op_type for node in model.graph.node for name in node.output}
    found = (node for node in model.graph.node if node.op_type == "Conv")
    return {node.name for node in found if makers.get(node.input[1]) == "DequantizeLinear"}


@needs_modelopt
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("net", "side"), [(bottleneck_resnet, 64), (plain_resnet, 32), (mobile, 32), (vision_transformer, 32)]
)
def test_it_stays_near_float_and_tensorrt_takes_it(net: Any, side: int, tmp_path: Path) -> None:
    _, model = graphs(net(), LITE)
    small = modelopt_graph(PATH, model, images(20, side), (Path(THEIRS), "minmax"))
    onnx.checker.check_model(small)
    assert [(one.domain, one.version) for one in small.opset_import] == [("", 17)]
    assert small.ir_version <= 8
    crops = images(6, side, seed=9)
    cosine = np.einsum("nd,nd->n", run(model, crops), run(small, crops, as_written=True))
    assert cosine.min() > 0.97
    pytest.importorskip("tensorrt_rtx_bindings")
    onnx.save(small, tmp_path / "m.onnx")
    found = compiled(tmp_path / "m.onnx")
    assert found["error"] == ""
    assert found["convolutions"].get("Int8")
    assert set(found["convolutions"].get("Float", [])) <= convolutions(small) - in_integers(small), (
        "it leaves narrow ones"
    )


@needs_modelopt
@pytest.mark.timeout(900)
def test_what_is_kept_stays_in_float_and_names_are_no_patterns() -> None:
    _, model = graphs(mobile(), LITE)
    all_of_it = modelopt_graph(PATH, model, images(20, 32), (Path(THEIRS), "entropy"))
    kept = frozenset({max(in_integers(all_of_it))})
    small = modelopt_graph(PATH, model, images(20, 32), (Path(THEIRS), "entropy"), kept)
    assert in_integers(small) == in_integers(all_of_it) - kept


def test_a_python_without_it_is_told_apart_from_a_model_that_fails(tmp_path: Path) -> None:
    _, model = graphs(mobile(), LITE)
    with pytest.raises(
        InputError, match=r"--modelopt .*No module named 'modelopt'.*pip install 'nvidia-modelopt\[onnx\]'"
    ):
        modelopt_graph(PATH, model, images(2, 32), (Path(sys.executable), "minmax"))
    with pytest.raises(InputError, match=r"--modelopt .*nowhere: No such file.*expected a Python"):
        modelopt_graph(PATH, model, images(2, 32), (tmp_path / "nowhere", "minmax"))
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho 'ValueError: shapes do not match' >&2\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(ModelError, match=r"m\.onnx: nvidia-modelopt cannot quantise it \(ValueError: shapes do not"):
        modelopt_graph(PATH, model, images(2, 32), (broken, "minmax"))
    for number, code in enumerate(("exit 0", "printf 'no protobuf' > int8.onnx")):
        silent = tmp_path / f"silent-{number}"
        silent.write_text(f"#!/bin/sh\n{code}\n")
        silent.chmod(0o755)
        with pytest.raises(ModelError, match=r"m\.onnx: nvidia-modelopt wrote no graph"):
            modelopt_graph(PATH, model, images(2, 32), (silent, "minmax"))
    babbling = tmp_path / "babbling"
    babbling.write_text("#!/bin/sh\nprintf 'wrong: \\377\\n' >&2\nexit 1\n")
    babbling.chmod(0o755)
    with pytest.raises(ModelError, match=r"m\.onnx: nvidia-modelopt cannot quantise it \(wrong: "):
        modelopt_graph(PATH, model, images(2, 32), (babbling, "minmax"))


def test_only_the_form_that_every_tensorrt_takes_is_accepted() -> None:
    folded, model = graphs(mobile(), LITE)
    ranges = ranges_of(model, 32)
    small = trt_graph(PATH, model, ranges)
    refuse_other_form(PATH, small, model)
    with pytest.raises(ModelError, match=r"m\.onnx: \w+Linear .* is not int8 with a zero point of 0"):
        refuse_other_form(PATH, cpu_graph(PATH, folded, model, ranges), model)
    with pytest.raises(ModelError, match="quantised nothing"):
        refuse_other_form(PATH, float_input(model), model)
    renamed = onnx.ModelProto()
    renamed.CopyFrom(small)
    renamed.graph.output[0].name = "embedding"
    with pytest.raises(ModelError, match=r"changed inputs or outputs \(embedding "):
        refuse_other_form(PATH, renamed, model)
    one_crop = onnx.ModelProto()
    one_crop.CopyFrom(small)
    one_crop.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    with pytest.raises(ModelError, match="changed inputs or outputs"):
        refuse_other_form(PATH, one_crop, model)
    for node in (one for one in small.graph.node if one.op_type == "Conv"):
        node.input[2:] = [node.input[0]]
    with pytest.raises(ModelError, match=r"the bias of Conv .* is quantised"):
        refuse_other_form(PATH, small, model)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--device", "x86-dev"], "--modelopt makes INT8 for tensorrt, this build is int8 for onnxruntime"),
        (["--device", "orin-nano-4gb", "--precision", "float32"], "this build is float32 for tensorrt"),
        (["--device", "orin-nano-4gb", "--ranges", "percentile"], "--modelopt finds ranges by minmax or entropy"),
        (["--device", "orin-nano-4gb", "--ranges", "best"], "found --ranges best"),
    ],
)
def test_what_does_not_go_together_is_refused(options: list[str], told: str, capsys: Any, tmp_path: Path) -> None:
    given = ["--model", "m.onnx", "--images", "photos", "--out", str(tmp_path / "out"), "--modelopt", "python3"]
    assert build([*given, *options]) == 2
    assert told in capsys.readouterr().err
