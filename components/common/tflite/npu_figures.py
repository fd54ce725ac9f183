"""Vela's estimates of a candidate on an NPU. Imports neither TensorFlow nor NumPy."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class NpuFigures:
    """A file as Vela compiled it. All numbers are Vela's estimates.

    Attributes:
        compiler: Vela's version.
        accelerator: The NPU.
        system_config: Clock and memory bandwidths, a section of Vela's configuration.
        memory_mode: Which memory holds what, another section.
        cycles: Of one inference on the NPU; operators on the CPU are not counted.
        sram: Bytes.
        flash: Bytes, on and off the chip.
        cpu_operators: Operator that stays on the CPU → how many of it.
    """

    compiler: str
    accelerator: str
    system_config: str
    memory_mode: str
    cycles: int
    sram: int
    flash: int
    cpu_operators: dict[str, int] = field(default_factory=dict)

    @property
    def on_cpu(self) -> int:
        """Number of operators that stay on the CPU."""
        return sum(self.cpu_operators.values())

    @property
    def cpu_text(self) -> str:
        """The operators that stay on the CPU: `2 × QUANTIZE, SOFTMAX`."""
        return ", ".join(
            name if count == 1 else f"{count} × {name}" for name, count in self.cpu_operators.items()
        )
