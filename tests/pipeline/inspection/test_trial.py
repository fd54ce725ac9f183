"""Whether a TFLite file loads and runs is tried, whatever the runtime does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pipeline.cli import main
from pipeline.inspection import inspection
from pipeline.inspection import trial as inspection_trial
from tests.pipeline.inspection.command import inspected


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
    assert (down.loads, down.error) == (False, "crashed the process (SIGABRT)")
    slow = attempt_with(
        "import time\nclass Interpreter:\n"
        "    def __init__(self, model_path): pass\n    def allocate_tensors(self): pass\n"
        "    def get_input_details(self): return []\n    def invoke(self): time.sleep(60)\n"
    )
    assert (slow.loads, slow.runs, slow.error) == (True, False, "did not finish within 10 s")
