"""Figures of a packed file. Imports neither TensorFlow nor NumPy."""

from __future__ import annotations

from dataclasses import dataclass

from components.common.tflite.arena import Arena
from components.common.tflite.packed_kernel import PackedKernel


@dataclass(frozen=True)
class Packed:
    """A packed file beside the plain one that it was made from, both on the runtime of their target.

    Attributes:
        flash: Bytes of the plain file.
        memory: RAM that the plain file takes.
        flash_ratio: The packed file's bytes / the plain one's.
        memory_ratio: The same of the RAM.
        time_ratio: The same of the median time of one inference, both files by turns on this machine.
        examples: Eval examples that both files were run on.
        differing: Of these, the ones whose outputs are not the same to the bit.
        kernels: What became of each kernel.
    """

    flash: int
    memory: Arena
    flash_ratio: float
    memory_ratio: float
    time_ratio: float
    examples: int
    differing: int
    kernels: tuple[PackedKernel, ...] = ()
