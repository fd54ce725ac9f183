"""`paredown inspect`: what it finds at a path, and what it shows of a model."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from pipeline.cli import main
from pipeline.inspection.target import find
from tests.pipeline.inspection.command import inspected
from tests.pipeline.inspection.conftest import PARAMETERS


def test_a_tflite_file(models: Path) -> None:
    path = models / "float32.tflite"
    (found,) = inspected(path)

    content = path.read_bytes()
    assert (found["format"], found["bytes"]) == ("tflite", len(content))
    assert found["gzip_bytes"] == len(gzip.compress(content, 9, mtime=0))
    assert found["operators"] == {"CONV_2D": 1, "FULLY_CONNECTED": 1, "RESHAPE": 1}
    port = {"dtype": "float32", "scale": None, "zero_point": None}
    assert found["signatures"] == {
        "serving_default": {
            "inputs": {"image": {"shape": [None, 6, 6, 2], **port}},
            "outputs": {"scores": {"shape": [None, 3], **port}},
        }
    }
    conv, scores = found["layers"]
    assert (conv["name"], conv["kind"], conv["shape"]) == ("conv", "CONV_2D", [4, 3, 3, 2])
    assert scores["name"] == "scores"
    assert (scores["sparsity"], scores["unique"], scores["unique_per_channel"]) == (0.5, 5, 5)
    assert (scores["parameters"], scores["bytes"]) == (195, 195 * 4)
    assert scores["share"] == round(195 * 4 / len(content), 6)
    assert sum(layer["bytes"] for layer in found["layers"]) + found["other_bytes"] == len(content)
    # Batch normalization is folded into the convolution.
    assert found["parameters"] == PARAMETERS - 16
    assert found["trial"]["runtime"].startswith("LiteRT 2.")
    assert (found["trial"]["loads"], found["trial"]["runs"], found["trial"]["error"]) == (True, True, None)


def test_a_pushed_folder_may_hold_a_file_and_a_saved_model(models: Path, tmp_path: Path) -> None:
    version = tmp_path / "pushed" / "7"
    shutil.copytree(models / "trained" / "Format-Serving", version)
    shutil.copy(models / "int8.tflite", version / "tflite")
    assert find(tmp_path / "pushed") == [("tflite", version / "tflite"), ("saved_model", version)]


def test_the_keys_are_there_for_scripts(models: Path) -> None:
    (found,) = inspected(models / "float32.tflite", "--tensors")

    assert list(found) == [
        *("path", "format", "bytes", "gzip_bytes", "parameters", "signatures", "operators", "layers"),
        *("activations", "metadata", "tensors", "trial", "code", "needs_load"),
        "other_bytes",
    ]
    assert set(found["layers"][0]) == {
        *("name", "kind", "shape", "dtype", "parameters", "bytes", "share", "sparsity", "unique"),
        *("unique_per_channel", "sparse"),
    }
    assert set(found["tensors"][0]) == {
        *("name", "dtype", "shape", "bytes", "scales", "scale", "zero_point", "channel_axis", "sparse"),
    }
    assert "tensors" not in inspected(models / "float32.tflite")[0]


def test_quantization_is_shown_tensor_by_tensor(models: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    path = models / "int8.tflite"
    (found,) = inspected(path, "--tensors")
    theirs = {d["name"]: d for d in Interpreter(str(path)).get_tensor_details()}

    quantized = [row for row in found["tensors"] if row["scales"]]
    assert sorted({row["scales"] for row in quantized}) == [1, 4]
    for row in quantized:
        parameters = theirs[row["name"]]["quantization_parameters"]
        assert row["scales"] == len(parameters["scales"])
        if row["scales"] == 1:
            assert np.float32(row["scale"]) == parameters["scales"][0]
            assert (row["zero_point"], row["channel_axis"]) == (parameters["zero_points"][0], None)
        else:
            assert (row["scale"], row["channel_axis"]) == (None, parameters["quantized_dimension"])
    assert found["bytes"] < inspected(models / "float32.tflite")[0]["bytes"]


def test_an_artifact_has_a_saved_model_and_a_keras_model(models: Path) -> None:
    saved, keras = inspected(models / "trained")

    assert (saved["format"], keras["format"]) == ("saved_model", "keras")
    files = [p for p in (models / "trained" / "Format-Serving").rglob("*") if p.is_file()]
    assert saved["bytes"] == sum(os.path.getsize(p) for p in files)
    assert saved["signatures"]["serving_default"]["inputs"]["image"]["shape"] == [None, 6, 6, 2]
    assert saved["operators"]["MatMul"] == 1
    assert keras["operators"] == {
        **{"BatchNormalization": 1, "Conv2D": 1, "Dense": 1, "Flatten": 1, "ReLU": 1},
    }
    for found in (saved, keras):
        assert found["parameters"] == PARAMETERS
        layers = {layer["name"]: layer for layer in found["layers"]}
        assert sorted(layers) == ["bn", "conv", "scores"]
        assert (layers["scores"]["sparsity"], layers["scores"]["unique"]) == (0.5, 5)
        assert layers["scores"]["shape"] == [64, 3]
        assert (layers["bn"]["shape"], layers["bn"]["sparsity"], layers["bn"]["bytes"]) == (None, None, 64)
        assert found["trial"] is None
    assert {layer["name"]: layer["unique_per_channel"] for layer in keras["layers"]} == {
        **{"conv": 18, "bn": None, "scores": 5},
    }


@pytest.mark.parametrize("name", ["model.keras", "qat.h5", "pruning.h5", "trained/Format-Keras/model.h5"])
def test_keras_files_are_the_same_model_with_and_without_wrappers(models: Path, name: str) -> None:
    (found,) = inspected(models / name)

    assert found["format"] == "keras"
    assert found["parameters"] == PARAMETERS
    assert [layer["name"] for layer in found["layers"]] == ["conv", "bn", "scores"]
    assert [layer["kind"] for layer in found["layers"]] == ["Conv2D", "BatchNormalization", "Dense"]
    assert found["layers"][2]["sparsity"] == 0.5
    assert found["signatures"]["call"]["outputs"]["scores"]["shape"] == [None, 3]
    assert list(found["signatures"]["call"]["inputs"]) == [found_input(found)]


def found_input(found: dict[str, Any]) -> str:
    (name,) = found["signatures"]["call"]["inputs"]
    assert name.startswith("image")
    return name


def test_of_pushed_versions_the_newest_is_shown(models: Path, tmp_path: Path) -> None:
    for version, name in (("9", "int8"), ("10", "float32"), ("notes", "int8")):
        (tmp_path / version).mkdir()
        shutil.copy(models / f"{name}.tflite", tmp_path / version / "tflite")

    assert find(tmp_path) == [("tflite", tmp_path / "10" / "tflite")]
    (tmp_path / "11").mkdir()  # being written
    assert find(tmp_path) == [("tflite", tmp_path / "10" / "tflite")]
    artifact = tmp_path / "artifact"
    shutil.copytree(tmp_path / "9", artifact / "Format-Serving")
    assert find(artifact) == [("tflite", artifact / "Format-Serving" / "tflite")]
    assert find(models / "trained" / "Format-Serving" / "saved_model.pb") == [
        ("saved_model", models / "trained" / "Format-Serving")
    ]


@pytest.mark.parametrize("name", ["model.keras", "qat.h5", "pruning.h5", "trained/Format-Serving"])
def test_files_say_what_loading_them_says(models: Path, name: str) -> None:
    (read,), (loaded,) = inspected(models / name), inspected(models / name, "--load")

    assert read == loaded


def test_neither_tensorflow_nor_keras_is_imported(models: Path) -> None:
    files = [str(models / name) for name in ("int8.tflite", "model.keras", "qat.h5", "trained")]
    program = (
        "import sys\nfrom pipeline.cli import main\n"
        f"for file in {files}:\n"
        "    try:\n        main(['inspect', file, '--tensors'])\n"
        "    except SystemExit as end:\n        assert not end.code\n"
        "    print(sorted({'tensorflow', 'tfx', 'keras', 'tf_keras'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines().count("[]") == len(files)
    assert all(file in done.stdout for file in files) and done.stdout.count("scores") >= len(files)
    assert done.stderr == ""


def test_nothing_of_tensorflows_output_is_shown(models: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "inspect", str(models / "qat.h5"), "--load"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[0] == str(models / "qat.h5")
    assert "WARNING" not in done.stdout
    warning, *status = done.stderr.splitlines()
    assert warning == f"Warning: --load runs the code in {models / 'qat.h5'}."
    assert status in ([], ["Loading with TensorFlow …"])


@pytest.mark.parametrize("width", [80, 140])
def test_the_table_fits_the_terminal(models: Path, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    path = models / "int8.tflite"
    result = CliRunner().invoke(main, ["inspect", str(path), "--tensors"])
    lines = result.stdout.splitlines()

    assert result.exit_code == 0
    assert lines[0] == str(path)
    assert max(map(len, lines[1:])) <= width
    assert "signature    serving_default: image float32[?×6×6×2] → scores float32[?×3]" in result.stdout
    assert "operators    CONV_2D 1, DEQUANTIZE 1, FULLY_CONNECTED 1, QUANTIZE 1, RESHAPE 1" in result.stdout
    assert "with the default delegate" in result.stdout
    (row,) = [line.split() for line in lines if line.startswith("  scores")]
    assert row[:2] == ["scores", "FULLY_CONNECTED"]
    assert "50.0%" in row and row[-2:] == (["5", "5"] if width == 140 else ["50.0%", "5"])
    (header,) = [line.split() for line in lines if line.split()[:1] == ["layer"]]
    assert ("kernel" in header) == (width == 140)


def test_help_teaches_by_example() -> None:
    result = CliRunner().invoke(main, ["inspect", "--help"])
    assert "paredown inspect model.tflite --tensors" in result.output
    assert "Exit codes" in result.output
