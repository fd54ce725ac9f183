"""The machine and the runtime that latency is measured on. Imports no TensorFlow."""

from __future__ import annotations

import functools
import os
import platform
from dataclasses import dataclass

from components.common.base.installed import version_of

RUNTIME = "ai-edge-litert"


@dataclass(frozen=True)
class Machine:
    """The conditions that a time depends on besides the file.

    Attributes:
        cpu: The processor's name.
        cores: Number of its cores.
        runtime: Version of LiteRT.
    """

    cpu: str
    cores: int
    runtime: str

    def __str__(self) -> str:
        cores = f"{self.cores} core{'' if self.cores == 1 else 's'}"
        return f"{self.cpu}, {cores}, LiteRT {self.runtime}"


@functools.cache
def this_machine() -> Machine:
    """The machine that this process runs on."""
    return Machine(cpu_name(), os.cpu_count() or 1, version_of(RUNTIME))


@functools.cache
def cpu_name() -> str:
    """The processor's name, as the system gives it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
