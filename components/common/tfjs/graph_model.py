"""A SavedModel as a graph model of TensorFlow.js: converted, and run in Node and in a browser.

https://github.com/tensorflow/tfjs/tree/master/tfjs-converter
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from components.common.base.errors import ParedownError
from components.common.tfjs import installation
from components.common.tflite.litert_js import installation as browsers

MODEL = "model.json"
Quantization = Literal["none", "float16", "uint16", "uint8"]
Predictions = dict[str, npt.NDArray[np.float32]]
_SIGNATURE = "serving_default"
_MINUTES = 10


class TfjsError(ParedownError):
    """A model that TensorFlow.js does not convert or run, or TensorFlow.js is not installed."""


def convert(saved_model: str | Path, folder: str | Path, quantization: Quantization) -> None:
    """Converts a SavedModel's `serving_default`.

    Args:
        saved_model: Its folder.
        folder: Gets model.json and the weights; made if it does not exist.
        quantization: Type of the stored weights; none: as they are. TensorFlow.js computes in float32.

    Raises:
        TfjsError: If it has operators that TensorFlow.js lacks, or the converter is not installed.
    """
    _refuse_missing()
    stored = [] if quantization == "none" else [f"--quantize_{quantization}=*"]
    kind = [
        "--input_format=tf_saved_model",
        "--output_format=tfjs_graph_model",
        f"--signature_name={_SIGNATURE}",
    ]
    _run([os.fspath(installation.converter()), *kind, *stored, os.fspath(saved_model), os.fspath(folder)])


def predict(folder: str | Path, inputs: Mapping[str, npt.NDArray[Any]], browser: bool) -> list[Predictions]:
    """Predicts examples with a converted model, on the wasm backend.

    Args:
        folder: As `convert` wrote it.
        inputs: Input → (examples, …) values, float32 or int32.
        browser: Whether to predict in Chromium, too.

    Returns:
        Output → (examples, values), in Node and, if asked, in Chromium.

    Raises:
        TfjsError: If it does not run.
    """
    _refuse_missing()
    count = len(next(iter(inputs.values())))
    with tempfile.TemporaryDirectory(prefix="paredown-") as written:
        paths = {name: os.path.join(written, f"{index}") for index, name in enumerate(inputs)}
        for name, values in inputs.items():
            np.ascontiguousarray(values).tofile(paths[name])
        driven = {"program": browsers.chromium(), "modules": os.fspath(browsers.modules())}
        asked = {
            "model": os.fspath(folder),
            "inputs": paths,
            "count": count,
            "browser": driven if browser else None,
        }
        program = [installation.node() or "node", os.fspath(installation.HERE / "run.js")]
        answer = json.loads(_run([*program, os.fspath(installation.modules())], json.dumps(asked)))
    found = [answer["node"], *([answer["browser"]] if browser else [])]
    return [
        {name: np.array(values, np.float32).reshape(count, -1) for name, values in one.items()}
        for one in found
    ]


def sizes(folder: str | Path) -> tuple[int, int]:
    """Bytes that a browser downloads of a converted model: as they are, and with each file compressed by gzip ."""
    contents = [path.read_bytes() for path in files(folder)]
    return sum(map(len, contents)), sum(len(gzip.compress(one, 9, mtime=0)) for one in contents)


def files(folder: str | Path) -> list[Path]:
    """model.json and the files with weights that it names."""
    described = json.loads((Path(folder) / MODEL).read_text(encoding="utf-8"))
    shards = [path for group in described["weightsManifest"] for path in group["paths"]]
    return [Path(folder) / name for name in (MODEL, *shards)]


def _refuse_missing() -> None:
    commands = installation.missing()
    if commands:
        raise TfjsError(f"TensorFlow.js is not installed; run: {'; '.join(commands)}")


def _run(command: list[str], given: str = "") -> str:
    # The environment's packages, and no others.
    others = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "TF_"))}
    try:
        done = subprocess.run(
            command,
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=60 * _MINUTES,
            env={**others, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
    except subprocess.TimeoutExpired:
        raise TfjsError(f"{command[0]} did not end within {_MINUTES} minutes") from None
    if done.returncode:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise TfjsError(f"{os.path.basename(command[0])} failed: {' '.join(said[-3:])[-800:]}")
    return done.stdout
