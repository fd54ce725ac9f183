"""The memory that TFLite Micro takes. Imports neither TensorFlow nor NumPy."""

from __future__ import annotations

from dataclasses import dataclass

# Arenas are given to the interpreter in steps of this many bytes: its own alignment.
ALIGNMENT = 16


@dataclass(frozen=True)
class Arena:
    """Bytes of the tensor arena, as TFLite Micro's recording allocator counts them on this machine.

    Pointers of a 32-bit microcontroller are half as long, so a device needs somewhat less; kernels that are optimized
    for it (CMSIS-NN) may ask for scratch memory besides.

    Attributes:
        head: Memory of activations and scratch buffers, which tensors share in turn.
        tail: What stays for the whole life of the interpreter: tensors' and operators' data.
    """

    head: int
    tail: int

    @property
    def total(self) -> int:
        """Bytes of the whole arena."""
        return self.head + self.tail
