"""What `paredown inspect` refuses, and code in a file that it does not run."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pipeline.cli import main
from tests.pipeline.inspection.command import inspected, refused
from tests.pipeline.inspection.conftest import PARAMETERS


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


def test_what_is_not_a_model_is_refused_in_one_line(models: Path, tmp_path: Path) -> None:
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


def test_a_file_of_keras_3_is_shown_as_one_of_tf_keras(tmp_path: Path) -> None:
    import keras

    path = tmp_path / "three.keras"
    inputs = keras.layers.Input((4,), name="x")
    keras.Model(inputs, keras.layers.Dense(2, name="scores")(inputs)).save(path)
    (read,), (loaded,) = inspected(path), inspected(path, "--load")
    for shown in (read, loaded):
        assert shown["parameters"] == 10
        assert [layer["name"] for layer in shown["layers"]] == ["scores"]
    assert read["signatures"] == loaded["signatures"]


def test_an_hdf5_file_of_keras_3_is_refused_in_one_line_also_if_it_is_to_be_loaded(tmp_path: Path) -> None:
    import keras

    path = tmp_path / "three.h5"
    keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2)]).save(path)
    for arguments in ([], ["--load"]):
        result = CliRunner().invoke(main, ["inspect", str(path), *arguments])
        assert result.exit_code == 2
        (line,) = [one for one in result.stderr.splitlines() if not one.startswith("Warning: --load")]
        assert (
            line.startswith(f"{path}: is an HDF5 file that was saved by Keras 3.")
            and "TypeError" not in line
        )


def test_refusals_can_be_read_by_scripts(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["inspect", str(tmp_path / "none"), "--json"])
    assert result.exit_code == 2
    (problem,) = json.loads(result.stdout)["problems"]
    assert (problem["file"], problem["message"]) == (
        str(tmp_path / "none"),
        "cannot be read: No such file or directory",
    )
