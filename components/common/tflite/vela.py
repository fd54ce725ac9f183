"""A TFLite file compiled for an Arm Ethos-U NPU by Vela, which also estimates what it takes.

https://pypi.org/project/ethos-u-vela
"""

from __future__ import annotations

import csv
import math
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from components.common.base.errors import ParedownError
from components.common.base.installed import version_or_none
from components.common.base.npu_options import COMPILER, Npu
from components.common.tflite import tflite_file
from components.common.tflite.npu_figures import NpuFigures

# Custom operator that hands a part of a model to the NPU.
ON_NPU = "ethos-u"

# Seconds; a file of some megabytes takes some seconds.
_LONGEST = 900
_KIB = 1024


class VelaError(ParedownError):
    """Vela cannot compile a file, or is not installed."""


@dataclass(frozen=True)
class Compiled:
    """A compiled file and Vela's estimates of it."""

    content: bytes
    figures: NpuFigures


def version() -> str:
    """The installed version of Vela.

    Raises:
        VelaError: If it is not installed.
    """
    found = version_or_none(COMPILER)
    if found is None:
        raise VelaError(f"Vela is not installed; run: pip install {COMPILER}")
    return found


def compile_file(content: bytes, npu: Npu) -> Compiled:
    """Compiles a file for an NPU.

    Args:
        content: The TFLite file.
        npu: What for.

    Raises:
        VelaError: With Vela's own reason.
    """
    own_version = version()
    with tempfile.TemporaryDirectory(prefix="paredown-") as folder:
        source = Path(folder, "model.tflite")
        source.write_bytes(content)
        command = [sys.executable, "-m", "ethosu.vela", str(source), "--output-dir", folder]
        command += ["--accelerator-config", npu.accelerator]
        command += ["--system-config", npu.system_config] if npu.system_config else []
        command += ["--memory-mode", npu.memory_mode] if npu.memory_mode else []
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_LONGEST, check=False)
        except subprocess.TimeoutExpired:
            raise VelaError(f"Vela did not compile the file in {_LONGEST} seconds") from None
        summaries = list(Path(folder).glob("model_summary_*.csv"))
        compiled = Path(folder, "model_vela.tflite")
        if done.returncode or len(summaries) != 1 or not compiled.exists():
            raise VelaError(f"Vela cannot compile the file: {_reason(done)}")
        made = compiled.read_bytes()
        with open(summaries[0], encoding="utf-8", newline="") as file:
            (summary,) = csv.DictReader(file)
    operators = tflite_file.parse(made).operator_counts
    on_cpu = {name: count for name, count in sorted(operators.items()) if name != ON_NPU}
    cycles = float(summary["cycles_total"])
    if not math.isfinite(cycles):
        raise VelaError(f"Vela estimates {cycles} cycles")
    figures = NpuFigures(
        compiler=f"Vela {own_version}",
        accelerator=npu.accelerator,
        system_config=summary["system_config"],
        memory_mode=summary["memory_mode"],
        cycles=round(cycles),
        sram=_bytes(summary, "sram"),
        flash=_bytes(summary, "on_chip_flash") + _bytes(summary, "off_chip_flash"),
        cpu_operators=on_cpu,
    )
    return Compiled(made, figures)


def _bytes(summary: dict[str, str], memory: str) -> int:
    return round(float(summary[f"{memory}_memory_used"]) * _KIB)


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or ["it does not say why"])[-1]
