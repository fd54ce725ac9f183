"""Files that are pushed beside a model."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from components.common.base import file_hashes, npu_options
from components.common.base.npu_options import Npu
from components.common.tflite import packed_kernel

_TFLITE = "tflite"  # as components.common.models.model_files has it, which imports TensorFlow


def add(
    model: str | Path,
    judged: Mapping[str, str],
    functions: Iterable[str],
    folder: str | Path,
    npu: Npu | None = None,
    options: Mapping[str, Any] | None = None,
    data: Mapping[str, Mapping[str, str]] | None = None,
    figures: MutableMapping[str, float | str] | None = None,
) -> dict[str, str]:
    """Copies a model and writes files beside it.

    Args:
        model: Folder with the model's files.
        judged: Path of each file, relative to the folder → SHA-256.
        functions: Dotted paths of functions of a TFLite file's bytes and a folder, which write into it. They get the
            packed file if there is one.
        folder: An empty folder for the copy.
        npu: What the plain file is compiled for besides; None for nothing.
        options: Dotted path → what the function takes as `options`, if it takes that.
        data: Dotted path → what it takes as `data`, if it reads examples: folders of the artifacts `examples`, `schema`
            and, if they went through Transform, `transform_graph`, and the parameters `label` and `label_options`.
        figures: Gets what functions measured of what they wrote: those that return a mapping.

    Returns:
        `judged`, with the files that were added.

    Raises:
        ChangedFile: If a file is not the one that was judged.
        VelaError: If the file cannot be compiled.
    """
    folder = Path(folder)
    shutil.copytree(model, folder, dirs_exist_ok=True)
    file_hashes.refuse_change(
        folder, judged, file_hashes.digests(folder), "another file was judged; run again"
    )
    if npu is not None:
        from components.common.tflite import (
            vela,  # which reads files with NumPy, and other models have no need of
        )

        compiled = vela.compile_file((folder / _TFLITE).read_bytes(), npu)
        (folder / npu_options.FILE).write_bytes(compiled.content)
    packed = folder / packed_kernel.FILE
    deployed = packed if packed.exists() else folder / _TFLITE
    for path in functions:
        module, _, name = path.rpartition(".")
        write: Callable[..., object] = getattr(importlib.import_module(module), name)
        own: dict[str, Any] = {"options": options[path]} if options and path in options else {}
        own |= {"data": data[path]} if data and path in data else {}
        measured = write(deployed.read_bytes(), folder, **own)
        if figures is not None and isinstance(measured, dict):
            figures.update(measured)
    return {**judged, **file_hashes.digests(folder)}
