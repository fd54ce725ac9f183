"""A model for TensorFlow.js beside the pushed file: `push: {tfjs: …}`.

It is converted from the SavedModel beside the file, which is the model that the file was converted from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.common.base.label import from_parameter
from components.common.data.examples import Examples
from components.common.data.model_inputs import InputSpec
from components.common.steps.step_executor import label_fields
from components.common.tfjs import graph_model, installation
from components.common.tfjs.graph_model import Predictions, TfjsError
from components.common.tflite.litert_js import installation as browsers
from components.common.tflite.tflite_file import SIGNATURE
from components.targets.web.params import TfjsOptions

FOLDER = "tfjs"
_COMPARED = 1000
_SEED = 0
# As far as float32 kernels of the two may differ, of the largest output.
_TOLERANCE = 1e-3


def write(
    content: bytes, folder: Path, data: Mapping[str, str], options: Mapping[str, Any]
) -> dict[str, float | str]:
    """Converts the SavedModel in `folder` into `folder`/tfjs, and compares the two on eval examples.

    Args:
        content: The TFLite file, which is not used.
        folder: An existing folder with the SavedModel.
        data: Where the examples are, as `components.pusher.beside.add` takes it.
        options: `quantization`, as `TfjsOptions` has it.

    Returns:
        Figures: bytes, and how far the predictions of Node and Chromium are from the SavedModel's.

    Raises:
        TfjsError: If TensorFlow.js cannot convert or run it, or predicts something else.
        ExamplesError: If a feature does not fit it.
    """
    asked = TfjsOptions(quantization=options["quantization"])
    target = folder / FOLDER
    graph_model.convert(folder, target, asked.quantization)
    predict = tf.saved_model.load(str(folder)).signatures[SIGNATURE]
    drawn = _examples(predict, data)
    expected = {
        name: np.asarray(values).reshape(len(values), -1)
        for name, values in predict(**{name: tf.constant(values) for name, values in drawn.items()}).items()
    }
    in_browser = not browsers.missing()
    node, *chromium = graph_model.predict(target, drawn, in_browser)
    (target / "example.json").write_text(json.dumps(_example(drawn, node)), encoding="utf-8")
    size, zipped = graph_model.sizes(target)
    figures: dict[str, float | str] = {
        "tfjs_version": installation.version() or "",
        "tfjs_quantization": asked.quantization,
        "tfjs_bytes": size,
        "tfjs_gzip_bytes": zipped,
        "tfjs_examples": len(next(iter(expected.values()))),
        **_compared("tfjs_node", expected, node),
    }
    for found in chromium:
        figures |= _compared("tfjs_chromium", expected, found)
    _refuse_another_model(asked, expected, figures)
    _write_readme(target, figures, drawn, node)
    return figures


def _examples(predict: Any, data: Mapping[str, str]) -> dict[str, npt.NDArray[Any]]:
    examples = Examples(
        data["examples"],
        data["schema"],
        data.get("transform_graph"),
        from_parameter(data["label"]),
        **label_fields(data["label_options"]),
    )
    inputs = {
        name: InputSpec(tuple(spec.shape[1:]), spec.dtype.as_numpy_dtype)
        for name, spec in predict.structured_input_signature[1].items()
    }
    drawn = examples.open("eval", inputs).draw(_COMPARED, _SEED).feature_arrays()
    return {
        name: np.asarray(drawn[name], spec.dtype).reshape(-1, *spec.shape) for name, spec in inputs.items()
    }


def _example(drawn: Mapping[str, npt.NDArray[Any]], predicted: Predictions) -> dict[str, Any]:
    return {
        "inputs": {name: np.ravel(values[0]).tolist() for name, values in drawn.items()},
        "outputs": {name: values[0].tolist() for name, values in predicted.items()},
    }


def _compared(
    where: str, expected: Mapping[str, npt.NDArray[Any]], found: Predictions
) -> dict[str, float | str]:
    """How far predictions are apart, and, of outputs with several values, how often the greatest is the same."""
    errors = [float(np.max(np.abs(found[name] - values))) for name, values in expected.items()]
    same = [
        np.argmax(found[name], axis=1) == np.argmax(values, axis=1)
        for name, values in expected.items()
        if values.shape[1] > 1
    ]
    shares = {f"{where}_same_prediction": float(np.mean(np.all(same, axis=0)))} if same else {}
    return {f"{where}_max_error": max(errors), **shares}


def _refuse_another_model(
    asked: TfjsOptions, expected: Mapping[str, npt.NDArray[Any]], figures: Mapping[str, float | str]
) -> None:
    """Of weights that are stored in fewer bits, only figures say how far they are off."""
    most = max(1.0, *(float(np.max(np.abs(values))) for values in expected.values()))
    for key, error in figures.items():
        if not key.endswith("_max_error"):
            continue
        if not np.isfinite(error) or (asked.quantization == "none" and float(error) > _TOLERANCE * most):
            raise TfjsError(
                f"TensorFlow.js predicts another output than the model ({key}: {error:g}); leave push.tfjs out"
            )


def _write_readme(
    target: Path,
    figures: Mapping[str, float | str],
    drawn: Mapping[str, npt.NDArray[Any]],
    predicted: Predictions,
) -> None:
    described = json.loads((target / graph_model.MODEL).read_text(encoding="utf-8"))["signature"]
    (first, values), output = next(iter(drawn.items())), next(iter(predicted))
    text = (resources.files(__package__) / "tfjs_files" / "README.md").read_text(encoding="utf-8")
    for name, value in {
        "{version}": figures["tfjs_version"],
        "{rows}": "\n".join(
            f"| {key.removeprefix('tfjs_').replace('_', ' ')} | {value if isinstance(value, str) else f'{value:,g}'} |"
            for key, value in figures.items()
        ),
        "{input}": described["inputs"][first]["name"],
        "{output}": described["outputs"][output]["name"],
        "{shape}": json.dumps([1, *values.shape[1:]]),
        "{first}": json.dumps(first),
    }.items():
        text = text.replace(name, str(value))
    (target / "README.md").write_text(text, encoding="utf-8")
