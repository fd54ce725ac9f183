"""A packed file beside the plain one: are its outputs the same to the bit, and what does it cost."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from components.common.base import progress
from components.common.data.arrays import Arrays
from components.common.data.examples import Examples
from components.common.models import model_files
from components.common.models.model_files import StepRecord
from components.common.tflite.tflm import TFLMModel
from components.measurer import device
from components.measurer.measured import Device, Side
from components.measurer.measurement import Unmeasured
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


def deployed(files: Mapping[Side, str], folder: str, examples: Examples) -> tuple[Device, list[Unmeasured]]:
    """What the deployed files take on TFLite Micro, and the candidate's packed file beside the plain one.

    Args:
        files: Side → plain TFLite file.
        folder: Of the candidate's `Model` artifact.
        examples: Whose `eval` split both files are run on.

    Returns:
        The figures, and a failure if the packed file has other outputs.

    Raises:
        TFLMError: If a file does not load or run.
        ValueError: As `packed_file`.
    """
    packed = packed_file(folder)
    found = device.measure({**files, "candidate": packed or files["candidate"]})
    if not packed:
        return found, []
    progress.report("comparing the packed file with the plain one")
    compared = measure(folder, packed, examples.open("eval", TFLMModel.read(files["candidate"]).inputs))
    found = replace(found, packed=compared)
    if not compared.differing:
        return found, []
    why = (
        f"the packed file's outputs differ from the plain file's on {compared.differing:,} of {compared.examples:,} "
        "eval examples; remove pack"
    )
    return found, [Unmeasured("packed_differs", why)]


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
    """Whether outputs are the same to the bit, also if they are not numbers."""
    return plain.keys() == packed.keys() and all(
        values.dtype == packed[name].dtype
        and values.shape == packed[name].shape
        and values.tobytes() == packed[name].tobytes()
        for name, values in plain.items()
    )
