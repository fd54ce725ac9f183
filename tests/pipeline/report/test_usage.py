"""The code that a report shows is run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.report import usage
from pipeline.report.collection import _read_pushed
from pipeline.report.data import Port, Pushed


@pytest.fixture(scope="module")
def quantized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An int8 file of one Dense layer, with a signature."""
    import tensorflow as tf

    weights = tf.constant(np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3))
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec((1, 4), tf.float32, name="values")])
    def serve(values: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"scores": tf.matmul(values, weights)}

    module.serve = serve
    folder = tmp_path_factory.mktemp("usage")
    tf.saved_model.save(module, str(folder / "saved"), signatures={"serving_default": serve})
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved"))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([np.full((1, 4), v, np.float32)] for v in (-1.0, 0.5, 1.0))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    file = folder / "it's here" / "tflite"
    file.parent.mkdir()
    file.write_bytes(converter.convert())
    return file


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.tf
def test_code_of_a_quantized_file_runs_and_gives_what_zeros_give(quantized: Path) -> None:
    pushed = _read_pushed(str(quantized), {})
    assert pushed.inputs is not None and pushed.inputs[0].dtype == "int8"
    printed = run(usage.code(pushed))
    scores = np.array([float(text) for text in printed.replace("[", " ").replace("]", " ").split()])
    assert scores.shape == (3,)
    np.testing.assert_allclose(scores, 0, atol=0.05)


@pytest.mark.tf
def test_code_asks_the_interpreter_if_the_file_was_not_read(quantized: Path) -> None:
    assert "'scores': array" in run(usage.code(Pushed(str(quantized))))


def test_floats_are_given_as_they_are() -> None:
    port = Port("a b", "float32", (-1, 28, 28, 1), None, None)
    code = usage.code(Pushed("f", (port,), (port,)))
    assert "    'a b': np.zeros((1, 28, 28, 1), np.float32)," in code
    assert code.endswith("print(outputs['a b'])")
    compile(code, "usage", "exec")


def test_a_damaged_file_is_a_note(tmp_path: Path) -> None:
    file = tmp_path / "tflite"
    file.write_bytes(b"no model")
    notes: dict[str, list[str]] = {}
    assert _read_pushed(str(file), notes) == Pushed(str(file))
    assert "is no longer a TFLite file" in notes["usage"][0]
