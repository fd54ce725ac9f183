"""An Arm Ethos-U NPU that a model is compiled for by Vela. Imports neither TensorFlow nor NumPy."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import Field

from components.common.base.byte_sizes import Bytes
from components.common.base.options import Options

# Package of Vela, the compiler.
COMPILER = "ethos-u-vela"
# Name of the compiled file, beside the plain one.
FILE = "model.vela.tflite"

Accelerator = Literal[
    "ethos-u55-32",
    "ethos-u55-64",
    "ethos-u55-128",
    "ethos-u55-256",
    "ethos-u65-256",
    "ethos-u65-512",
    "ethos-u85-128",
    "ethos-u85-256",
    "ethos-u85-512",
    "ethos-u85-1024",
    "ethos-u85-2048",
]


class Npu(Options):
    """The part of the options that Vela is given: other limits compile nothing again."""

    accelerator: Accelerator = Field(description="The NPU and its number of MACs for each cycle.")
    system_config: str | None = Field(
        default=None,
        min_length=1,
        description="Section of Vela's vela.ini with clock and memory bandwidths, e.g. Ethos_U55_Deep_Embedded. "
        "Default: Vela's own for the accelerator.",
    )
    memory_mode: str | None = Field(
        default=None,
        min_length=1,
        description="Section of Vela's vela.ini that says which memory holds what, e.g. Sram_Only. "
        "Default: Vela's own.",
    )

    def as_parameter(self, version: str) -> str:
        """The NPU as the parameter of a node; another version of Vela makes another cache key."""
        return json.dumps({"npu": self.model_dump(), "version": version}, sort_keys=True)

    @staticmethod
    def of_parameter(text: str | None) -> Npu | None:
        """The NPU that `as_parameter` wrote; None if a node was given none."""
        return Npu.model_validate(json.loads(text)["npu"]) if text else None


class NpuOptions(Npu):
    """An Arm Ethos-U NPU. Vela compiles each candidate for it; cycles, SRAM and flash are Vela's estimates."""

    cpu_operators: Literal["allow", "refuse"] = Field(
        default="allow",
        description="Operators that the NPU cannot run. allow: they run on the CPU; refuse: a candidate with such "
        "operators is refused before training, and does not pass the gate.",
    )
    max_cycles: int | None = Field(
        default=None,
        ge=1,
        description="Most cycles of one inference. A candidate with operators on the CPU does not pass, because Vela "
        "does not estimate their cycles.",
    )
    max_sram: Annotated[Bytes, Field(gt=0)] | None = Field(
        default=None, description="Most SRAM for the compiled model."
    )
    max_flash: Annotated[Bytes, Field(gt=0)] | None = Field(
        default=None, description="Most flash for the compiled model."
    )

    def compiled_for(self) -> Npu:
        """The part that Vela is given."""
        return Npu(**{name: getattr(self, name) for name in Npu.model_fields})
