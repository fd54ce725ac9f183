"""A packed file beside the plain one: are its outputs the same to the bit, and what does it cost."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from components.common.data.arrays import Arrays
from components.common.models import model_files
from components.common.models.model_files import StepRecord
from components.common.tflite.tflm import TFLMModel
from components.measurer.packed import Packed

# Examples that are read together.
_TOGETHER = 1024


def packed_file(folder: str) -> str:
    """Path of the packed file of a `Model` artifact, which is the one that is deployed; empty if it has none.

    Raises:
        ValueError: If the artifact's record says otherwise than the folder.
    """
    path = model_files.packed_file(folder)
    packed = any(not kernel.left for kernel in StepRecord.read(folder).packed)
    if packed != os.path.exists(path):
        raise ValueError(f"{path} {'is missing' if packed else 'is not in the record'}; run again")
    return path if packed else ""


def refusal(found: Packed) -> str:
    """Why the packed file cannot stand in for the plain one; empty if it can."""
    if not found.differing:
        return ""
    return (
        f"the packed file's outputs differ from the plain file's on {found.differing:,} of {found.examples:,} eval "
        "examples; remove pack"
    )


def measure(folder: str, packed: str, examples: Arrays) -> Packed:
    """Runs an artifact's plain file and its packed one on TFLite Micro, by turns, on every example.

    Args:
        folder: Of the `Model` artifact.
        packed: Path of the packed file.
        examples: At least one.

    Raises:
        TFLMError: If a file does not load or run.
        ExamplesError: If a feature does not fit the model.
    """
    plain = model_files.tflite_file(folder)
    models = TFLMModel.read(plain), TFLMModel.read(packed)
    times: tuple[list[float], list[float]] = ([], [])
    differing = 0
    for start in range(0, len(examples), _TOGETHER):
        some = examples.take(np.arange(start, min(start + _TOGETHER, len(examples))))
        given = models[0].stored_inputs(some.feature_arrays())
        for index in range(len(some)):
            one = {name: values[index] for name, values in given.items()}
            made: dict[int, dict[str, npt.NDArray[Any]]] = {}
            # The one that begins finds colder caches.
            for turn in (0, 1) if index % 2 else (1, 0):
                began = time.perf_counter()
                made[turn] = models[turn].run(one)
                times[turn].append(time.perf_counter() - began)
            differing += not _same(made[0], made[1])
    memory = models[0].arena()
    flash = os.path.getsize(plain)
    return Packed(
        flash=flash,
        memory=memory,
        flash_ratio=os.path.getsize(packed) / flash,
        memory_ratio=models[1].arena().total / memory.total,
        time_ratio=float(np.median(times[1]) / np.median(times[0])),
        examples=len(examples),
        differing=differing,
        kernels=tuple(StepRecord.read(folder).packed),
    )


def _same(plain: Mapping[str, npt.NDArray[Any]], packed: Mapping[str, npt.NDArray[Any]]) -> bool:
    """Whether outputs are the same to the bit, also where they are not numbers."""
    return plain.keys() == packed.keys() and all(
        values.dtype == packed[name].dtype
        and values.shape == packed[name].shape
        and values.tobytes() == packed[name].tobytes()
        for name, values in plain.items()
    )
