"""Options of `target: microcontroller`."""

from __future__ import annotations

import operator
from typing import Annotated, Literal

from pydantic import Field

from components.common.base.byte_sizes import Bytes
from components.common.base.npu_options import NpuOptions
from components.targets.target import TargetOptions


class MicrocontrollerOptions(TargetOptions):
    """Microcontrollers, which run TFLite Micro. Sizes can be written as "256 kB" or "256 KiB"."""

    kind: Literal["microcontroller"] = "microcontroller"
    ram: Annotated[Bytes, Field(gt=0)] | None = Field(
        default=None,
        description="RAM for the model, without that of your program: the default of gate.memory.max.",
    )
    flash: Annotated[Bytes, Field(gt=0)] | None = Field(
        default=None,
        description="Flash for the model, without that of your program: the default of gate.flash.max.",
    )
    npu: NpuOptions | None = Field(
        default=None,
        exclude_if=operator.not_,
        description="An Arm Ethos-U NPU that Vela compiles each candidate for, e.g. {accelerator: ethos-u55-128, "
        "max_cycles: 500000}.",
    )

    @property
    def npu_options(self) -> NpuOptions | None:
        """The NPU that candidates are compiled for, if there is one."""
        return self.npu
