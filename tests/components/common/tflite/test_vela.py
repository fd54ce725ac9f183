"""Files compiled by the real Vela: its estimates, operators on the CPU, and what compression saves."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from components.common.base.npu_options import Npu
from components.common.models import model_files
from components.common.tflite import tflite_file, vela
from components.common.tflite.vela import VelaError
from tests.components.conftest import Step
from tests.conftest import Trained

U55 = Npu(accelerator="ethos-u55-128")


def content_of(step: Step) -> bytes:
    return Path(model_files.tflite_file(step.uri)).read_bytes()


@pytest.fixture(scope="module")
def plain(trained: Trained, converted: Callable[..., Step]) -> bytes:
    """An int8 file with int8 inputs and outputs."""
    return content_of(converted(trained.uri, "int8", "int8"))


def test_estimates_are_those_of_velas_own_summary(plain: bytes, tmp_path: Path) -> None:
    (tmp_path / "own.tflite").write_bytes(plain)
    command = [sys.executable, "-m", "ethosu.vela", "own.tflite", "--output-dir", "out"]
    command += ["--accelerator-config", "ethos-u55-128"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    (path,) = (tmp_path / "out").glob("*.csv")
    head, values = csv.reader(path.read_text(encoding="utf-8").splitlines())
    summary = dict(zip(head, values, strict=True))

    found = vela.compile_file(plain, U55)

    assert found.figures.cycles == int(float(summary["cycles_total"])) > 1000
    assert found.figures.sram == float(summary["sram_memory_used"]) * 1024
    assert found.figures.flash == float(summary["off_chip_flash_memory_used"]) * 1024
    assert found.figures.flash > 5000
    assert (found.figures.accelerator, found.figures.cpu_operators) == ("ethos-u55-128", {})
    assert found.figures.system_config == summary["system_config"] == "Ethos_U55_High_End_Embedded"
    assert found.content == (tmp_path / "out" / "own_vela.tflite").read_bytes()
    assert tflite_file.parse(found.content).operator_counts == {"ethos-u": 1}


def test_pruned_and_clustered_weights_take_less_flash(
    plain: bytes, pruned: Step, clustered: Step, converted: Callable[..., Step]
) -> None:
    plain_figures, *compressed = (
        vela.compile_file(content, U55).figures
        for content in (
            plain,
            *(content_of(converted(step.uri, "int8", "int8")) for step in (pruned, clustered)),
        )
    )

    for figures in compressed:
        assert figures.flash < 0.8 * plain_figures.flash
        assert figures.cycles < plain_figures.cycles


def test_operators_on_the_cpu_are_counted(trained: Trained, converted: Callable[..., Step]) -> None:
    found = vela.compile_file(content_of(converted(trained.uri, "int8")), U55).figures

    assert found.cpu_operators == {"DEQUANTIZE": 1, "QUANTIZE": 1}
    assert (found.on_cpu, found.cpu_text) == (2, "DEQUANTIZE, QUANTIZE")


def test_vela_says_why_it_does_not_compile(plain: bytes) -> None:
    with pytest.raises(VelaError, match=r"Vela cannot compile the file: .*No_Such"):
        vela.compile_file(plain, Npu(accelerator="ethos-u55-128", system_config="No_Such"))
