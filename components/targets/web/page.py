"""A model as a page and a JavaScript module: `push: {web: true}`."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from components.common.base.errors import ParedownError
from components.common.base.label import from_parameter
from components.common.data.examples import Examples
from components.common.steps.step_executor import label_fields
from components.common.tflite import tflite_file
from components.common.tflite.litert_js import browser, installation
from components.common.tflite.litert_js.model import LiteRTJsModel
from components.common.tflite.operator import Tensor

FOLDER = "web"
_STATIC = ("index.html", "model.js", "model.d.ts")
# The runtime with and without relaxed SIMD; LiteRT.js chooses. Others are for threads and for WebGPU.
_WASM = ("litert_wasm_internal", "litert_wasm_compat_internal")
_UTILS = "@litertjs/wasm-utils"
_SEED = 0


class RuntimeFilesError(ParedownError):
    """The installed LiteRT.js is laid out differently."""


def write(content: bytes, folder: Path, data: Mapping[str, str]) -> list[str]:
    """Writes the page into `folder`/web, with an eval example.

    Args:
        content: The TFLite file.
        folder: An existing folder.
        data: Where the examples are, as `components.pusher.beside.add` takes it.

    Returns:
        Paths of the files, relative to `folder`.

    Raises:
        LiteRTJsError: If the browser cannot run the file, or is not installed.
        ExamplesError: If a feature does not fit it.
        RuntimeFilesError: If the installed LiteRT.js lacks a file.
    """
    target = folder / FOLDER
    target.mkdir()
    (target / "model.tflite").write_bytes(content)
    try:
        _write_example(content, target, data)
        _copy_runtime(target / "litert")
        for name in _STATIC:
            (target / name).write_bytes(_file(name).read_bytes())
        _write_readme(target)
    finally:
        browser.close()
    return sorted(str(path.relative_to(folder)) for path in target.rglob("*") if path.is_file())


def _write_example(content: bytes, target: Path, data: Mapping[str, str]) -> None:
    """Writes inputs and outputs of the model, and an example with its outputs in this machine's browser."""
    model = LiteRTJsModel(str(target / "model.tflite"))
    file = tflite_file.parse(content)
    examples = Examples(
        data["examples"],
        data["schema"],
        data.get("transform_graph"),
        from_parameter(data["label"]),
        **label_fields(data["label_options"]),
    )
    drawn = examples.open("eval", model.inputs).draw(1, _SEED).feature_arrays()
    made = model.predict_each(drawn)
    _write_json(
        target / "model.json",
        {
            "inputs": [_port(name, file.inputs[name]) for name in model.inputs],
            "outputs": [_port(name, file.outputs[name]) for name in made],
        },
    )
    example = {
        "inputs": {name: np.ravel(drawn[name]).tolist() for name in model.inputs},
        "outputs": {name: np.ravel(values).tolist() for name, values in made.items()},
    }
    _write_json(target / "example.json", example)


def _port(name: str, tensor: Tensor) -> dict[str, Any]:
    scaled = bool(tensor.scales.size)
    return {
        "name": name,
        "dtype": tensor.dtype,
        "shape": list(tensor.shape),
        "scale": float(tensor.scales[0]) if scaled else 0,
        "zero_point": int(tensor.zero_points[0]) if scaled else 0,
    }


def _copy_runtime(target: Path) -> None:
    """Copies what a browser loads of LiteRT.js, with an import that needs no bundler."""
    core = installation.modules() / installation.PACKAGE
    (target / "wasm").mkdir(parents=True)
    script = (core / "dist" / "index.js").read_text(encoding="utf-8")
    if script.count(f'"{_UTILS}"') != 1:
        raise RuntimeFilesError(f"{core} does not import {_UTILS} as expected; run: make web")
    (target / "core.js").write_text(script.replace(f'"{_UTILS}"', '"./wasm-utils.js"'), encoding="utf-8")
    shutil.copyfile(installation.modules() / _UTILS / "dist" / "index.js", target / "wasm-utils.js")
    for name in _WASM:
        for ending in ("js", "wasm"):
            shutil.copyfile(core / "wasm" / f"{name}.{ending}", target / "wasm" / f"{name}.{ending}")


def _write_readme(target: Path) -> None:
    rows = []
    for path in sorted(path for path in target.rglob("*") if path.suffix in (".tflite", ".wasm", ".js")):
        zipped = len(gzip.compress(path.read_bytes(), compresslevel=9, mtime=0))
        # Brotli at its highest level takes 20 s for the runtime, which does not change from push to push.
        brotli = f"{browser.brotli_size(path):,}" if path.suffix != ".wasm" else "–"
        rows.append(f"| `{path.relative_to(target)}` | {path.stat().st_size:,} | {zipped:,} | {brotli} |")
    ports = json.loads((target / "model.json").read_text(encoding="utf-8"))
    call = ", ".join(f"{json.dumps(port['name'])}: values" for port in ports["inputs"])
    text = _file("README.md").read_text(encoding="utf-8")
    for name, value in {
        "{browser}": installation.version() or "a browser",
        "{rows}": "\n".join(rows),
        "{first_output}": f"{{{json.dumps(ports['outputs'][0]['name'])}: predicted}}",
        "{first_call}": f"{{{call}}}",
    }.items():
        text = text.replace(name, value)
    (target / "README.md").write_text(text, encoding="utf-8")


def _file(name: str) -> Any:
    return resources.files(__package__) / "page_files" / name


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")
