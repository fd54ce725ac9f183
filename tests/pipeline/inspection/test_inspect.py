"""`paredown inspect`: what it finds at a path, what it shows of a model, what it refuses."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from pipeline.cli import main
from pipeline.inspection import inspection
from pipeline.inspection import trial as inspection_trial
from pipeline.inspection.target import find

Inspect = Callable[..., dict[str, Any]]
# 4·3·3·2 + 4 of the convolution, 4·4 of batch normalization, 64·3 + 3 of the dense layer.
PARAMETERS = 76 + 16 + 195


def inspected(path: Path, *options: str) -> list[dict[str, Any]]:
    """What the command prints as JSON."""
    result = CliRunner().invoke(main, ["inspect", str(path), "--json", *options])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["models"]


def refused(path: Path) -> str:
    """The one line that the command prints when it refuses a path."""
    result = CliRunner().invoke(main, ["inspect", str(path)])
    assert result.exit_code == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line


def build() -> Any:
    """A small model; every second weight of its dense layer is zero, the others have four values."""
    import tf_keras

    layers = tf_keras.layers
    tf_keras.backend.clear_session()
    tf_keras.utils.set_random_seed(0)
    model = tf_keras.Sequential(
        [
            layers.Input((6, 6, 2), name="image"),
            layers.Conv2D(4, 3, name="conv"),
            layers.BatchNormalization(name="bn"),
            layers.ReLU(name="relu"),
            layers.Flatten(name="flatten"),
            layers.Dense(3, name="scores"),
        ]
    )
    weights = np.zeros(64 * 3, np.float32)
    weights[::2] = np.tile([0.5, 1, -1, 2], 24)
    model.get_layer("scores").set_weights([weights.reshape(64, 3), np.array([1, 2, 3])])
    return model


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder: an artifact of a trained model, its files in other formats, TFLite files."""
    import tensorflow as tf
    import tensorflow_model_optimization as tfmot

    from components.common.models import model_files

    folder = tmp_path_factory.mktemp("models")
    model = build()
    model_files.save(model, str(folder / "trained"), ["image"], model_files.StepRecord())
    model.save(folder / "model.keras")
    rng = np.random.default_rng(0)
    for name in ("float32", "int8"):
        converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "trained" / "Format-Serving"))
        if name == "int8":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: (
                {"image": rng.random((1, 6, 6, 2), np.float32)} for _ in range(5)
            )
        (folder / f"{name}.tflite").write_bytes(converter.convert())
    tfmot.quantization.keras.quantize_model(build()).save(folder / "qat.h5")
    tfmot.sparsity.keras.prune_low_magnitude(build()).save(folder / "pruning.h5")
    return folder


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


def test_a_keras_model_of_unknown_classes_is_shown_but_cannot_be_loaded(
    models: Path, tmp_path: Path
) -> None:
    import tf_keras

    class Doubling(tf_keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            return inputs * 2

    artifact = tmp_path / "artifact"
    shutil.copytree(models / "trained", artifact)
    model = tf_keras.Sequential([tf_keras.layers.Input((2,)), Doubling(name="doubling")])
    model.save(artifact / "Format-Keras" / "model.h5")
    saved, keras = inspected(artifact)

    assert saved["parameters"] == PARAMETERS
    assert (keras["operators"], keras["code"]) == ({"Doubling": 1}, [])
    assert keras["needs_load"] == ["shape of output doubling"]
    result = CliRunner().invoke(main, ["inspect", str(artifact), "--json", "--load"])
    assert "Warning: --load runs the code in " in result.stderr
    saved, keras = json.loads(result.stdout)["models"]
    assert saved["parameters"] == PARAMETERS
    assert set(keras) == {"path", "format", "error"}
    assert keras["error"].startswith("has the class 'Doubling', whose code is not in the file")


@pytest.mark.parametrize("name", ["model.keras", "qat.h5", "pruning.h5", "trained/Format-Serving"])
def test_files_say_what_loading_them_says(models: Path, name: str) -> None:
    (read,), (loaded,) = inspected(models / name), inspected(models / name, "--load")

    assert read == loaded


@pytest.mark.parametrize("suffix", ["h5", "keras", ""])
@pytest.mark.parametrize("nested", [False, True])
def test_code_in_a_file_does_not_run(tmp_path: Path, suffix: str, nested: bool) -> None:
    import tensorflow as tf
    import tf_keras

    layers, trace = tf_keras.layers, tmp_path / "ran"
    path = tmp_path / (f"model.{suffix}" if suffix else "model")
    # The function is saved as code; it writes a file each time that it is called.
    code = f"lambda x: [open({str(trace)!r}, 'a').close(), x * 2][1]"
    inner = layers.Lambda(eval(code), name="code")
    model = tf_keras.Sequential([layers.Input((3, 4)), layers.TimeDistributed(inner) if nested else inner])
    tf.autograph.experimental.do_not_convert(model.save)(path)
    trace.unlink()
    (found,) = inspected(path)

    assert not trace.exists()
    assert found["code"] == ["a Lambda layer"]
    if suffix:
        assert found["operators"] == {"TimeDistributed" if nested else "Lambda": 1}
    CliRunner().invoke(main, ["inspect", str(path), "--load"])
    assert trace.exists() == (suffix == "h5")  # Keras itself refuses the code of a .keras file


@pytest.mark.parametrize("operator", ["ReadFile", "WriteFile", "PyFunc", "EagerPyFunc", "SaveV2"])
def test_operators_that_reach_outside_are_refused_by_name(tmp_path: Path, operator: str) -> None:
    import tensorflow as tf

    module, trace = tf.Module(), str(tmp_path / "ran")
    calls: dict[str, Callable[[Any], Any]] = {
        "ReadFile": lambda x: tf.strings.length(tf.io.read_file("/etc/hostname")) + tf.cast(x, tf.int32),
        "WriteFile": lambda x: [tf.io.write_file(trace, "x"), x][1],
        "PyFunc": lambda x: tf.numpy_function(lambda v: v, [x], tf.float32),
        "EagerPyFunc": lambda x: tf.py_function(lambda v: v, [x], tf.float32),
        "SaveV2": lambda x: [
            tf.raw_ops.SaveV2(prefix=trace, tensor_names=["x"], shape_and_slices=[""], tensors=[x]),
            x,
        ][1],
    }
    called = tf.function(calls[operator], autograph=False)
    module.serve = tf.function(
        lambda x: {"y": called(x)},
        autograph=False,
        input_signature=[tf.TensorSpec([None], tf.float32, "x")],
    )
    tf.saved_model.save(module, str(tmp_path / "model"), signatures=module.serve)

    for options in ((), ("--load",)):
        result = CliRunner().invoke(main, ["inspect", str(tmp_path / "model"), *options])
        assert result.exit_code == 2
        assert (
            f"has the operator {operator}, which runs Python or reads or writes other files"
            in result.stderr
        )
    assert not os.path.exists(trace)


def damaged(content: bytes) -> bytes:
    return content[: len(content) // 2]


def test_what_is_no_model_is_refused_in_one_line(models: Path, tmp_path: Path) -> None:
    def write(name: str, content: bytes) -> Path:
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    png = b"\x89PNG\r\n\x1a\n" + bytes(100)
    h5 = (models / "trained/Format-Keras/model.h5").read_bytes()
    cut = write("cut.tflite", damaged((models / "float32.tflite").read_bytes()))

    missing = tmp_path / "none"
    assert refused(missing) == f"{missing}: cannot be read: No such file or directory"
    empty = write("empty.tflite", b"")
    assert refused(empty) == f"{empty}: is empty"
    assert "is not a model; name a .tflite, .h5 or .keras file" in refused(write("image.png", png))
    assert "lacks the identifier TFL3" in refused(write("image.tflite", png))
    assert "is a broken TFLite file, cut off or changed" in refused(cut)
    assert "is a damaged HDF5 file (" in refused(write("cut.h5", damaged(h5)))
    assert "is not a model; write a Keras file" in refused(write("image.h5", png))
    assert "is a zip archive" in refused(write("m.zip", (models / "model.keras").read_bytes()))
    keras = damaged((models / "model.keras").read_bytes())
    assert "is a damaged Keras file (" in refused(write("cut.keras", keras))
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").write_bytes(png)
    assert "has a damaged saved_model.pb" in refused(tmp_path / "saved")
    (tmp_path / "folder").mkdir()
    assert "has no model in it; name a .tflite" in refused(tmp_path / "folder")
    assert "has several models, name one: cut.h5, cut.keras, cut.tflite, empty.tflite," in refused(tmp_path)


@pytest.mark.parametrize("name", ["three.keras", "three.h5"])
def test_a_file_of_keras_3_is_refused_in_one_line_also_if_it_is_to_be_loaded(
    tmp_path: Path, name: str
) -> None:
    import keras

    path = tmp_path / name
    keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2)]).save(path)
    for arguments in ([], ["--load"]):
        result = CliRunner().invoke(main, ["inspect", str(path), *arguments])
        assert result.exit_code == 2
        (line,) = [one for one in result.stderr.splitlines() if not one.startswith("Warning: --load")]
        assert line.startswith(f"{path}: was saved by Keras 3.") and "TypeError" not in line


def test_refusals_can_be_read_by_scripts(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["inspect", str(tmp_path / "none"), "--json"])
    assert result.exit_code == 2
    (problem,) = json.loads(result.stdout)["problems"]
    assert (problem["file"], problem["message"]) == (
        str(tmp_path / "none"),
        "cannot be read: No such file or directory",
    )


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


def test_a_file_that_litert_refuses_is_shown_with_the_reason(tmp_path: Path) -> None:
    import tensorflow as tf

    erf = tf.function(lambda x: tf.math.erf(x)).get_concrete_function(tf.TensorSpec([1, 4], name="x"))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([erf])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    path = tmp_path / "flex.tflite"
    path.write_bytes(converter.convert())
    (found,) = inspected(path)

    assert found["operators"] == {"FlexErf": 1}
    assert (found["trial"]["loads"], found["trial"]["runs"]) == (False, False)
    assert "FlexErf" in found["trial"]["error"] and "\n" not in found["trial"]["error"]
    shown = CliRunner().invoke(main, ["inspect", str(path)])
    assert shown.exit_code == 0 and "does not load on LiteRT" in shown.stdout


def test_a_file_that_fails_while_it_runs_has_loaded(tmp_path: Path) -> None:
    import tensorflow as tf

    def divide(x: Any, y: Any) -> Any:
        return tf.math.floordiv(x, y)

    specs = [tf.TensorSpec([2], tf.int32, name=name) for name in "xy"]
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [tf.function(divide).get_concrete_function(*specs)]
    )
    path = tmp_path / "divide.tflite"
    path.write_bytes(converter.convert())
    trial = inspection_trial.attempt(path)  # on zeros

    assert (trial.loads, trial.runs) == (True, False)
    assert trial.error is not None and "Division by 0" in trial.error


def test_a_runtime_that_crashes_or_takes_too_long_is_reported(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def attempt_with(source: str) -> inspection.Trial:
        package = tmp_path / "ai_edge_litert"
        package.mkdir(exist_ok=True)
        (package / "__init__.py").touch()
        (package / "interpreter.py").write_text(source, encoding="utf-8")
        return inspection_trial.attempt(models / "float32.tflite", limit=10)

    monkeypatch.syspath_prepend(tmp_path)
    down = attempt_with("import os\nos.abort()\n")
    assert (down.loads, down.error) == (False, "brought the process down (SIGABRT)")
    slow = attempt_with(
        "import time\nclass Interpreter:\n"
        "    def __init__(self, model_path): pass\n    def allocate_tensors(self): pass\n"
        "    def get_input_details(self): return []\n    def invoke(self): time.sleep(60)\n"
    )
    assert (slow.loads, slow.runs, slow.error) == (True, False, "did not finish within 10 s")
