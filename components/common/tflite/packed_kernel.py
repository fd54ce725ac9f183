"""The packed file, and what packing made of a kernel. Imports neither TensorFlow nor NumPy."""

from __future__ import annotations

from dataclasses import dataclass

# Name of a packed file, beside the plain one.
FILE = "model.packed.tflite"


@dataclass(frozen=True)
class PackedKernel:
    """A kernel as look-up tables with an index for each weight, or why it was left as it is.

    Attributes:
        layer: The layer whose weights these are.
        weights: Number of weights.
        distinct: Distinct values of the kernel; of the channel that has the most, if each has a table of its own.
        tables: Number of tables: 1, or one for each channel.
        bits: Bits of an index; 0 if the kernel is not packed.
        plain: Bytes of the kernel as it is.
        packed: Bytes of its indices and tables.
        left: Why it is not packed; empty if it is.
    """

    layer: str
    weights: int
    distinct: int
    tables: int
    bits: int
    plain: int
    packed: int
    left: str = ""

    @property
    def text(self) -> str:
        """The kernel in a few words."""
        if self.left:
            return f"{self.layer}: {self.left}"
        tables = "1 table" if self.tables == 1 else f"{self.tables} tables"
        return f"{self.layer}: {self.bits} bits, {tables} of {self.distinct}, {self.plain:,} → {self.packed:,} B"
