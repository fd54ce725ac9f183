"""Limits of an NPU: judged by Vela's estimates, and not met if these do not say enough."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from components.common.base.npu_options import NpuOptions
from components.common.models import model_files
from components.common.tflite import vela
from components.common.tflite.npu_figures import NpuFigures
from components.evaluator import npu
from components.evaluator.judgement import FailureKind, Judgement
from components.evaluator.params import Gate, JudgedGate
from tests.components.evaluator.judging import ON_DEVICE, Judge

FOUND = NpuFigures(
    "Vela 5", "ethos-u55-128", "Ethos_U55_High_End_Embedded", "Shared_Sram", 70_000, 4608, 9000
)


def judged(found: NpuFigures | None, **limits: Any) -> list[Judgement]:
    return npu.judge(found, NpuOptions.model_validate({"accelerator": "ethos-u55-128", **limits}))


def test_limits_are_on_velas_estimates() -> None:
    assert judged(FOUND) == []
    met = judged(FOUND, max_cycles=70_000, max_sram="4.5 KiB", max_flash="9 kB", cpu_operators="refuse")
    assert [(one.key, one.value, one.met) for one in met] == [
        ("target.npu.max_sram", 4608, True),
        ("target.npu.max_flash", 9000, True),
        ("target.npu.max_cycles", 70_000, True),
        ("target.npu.cpu_operators", 0, True),
    ]
    (missed,) = judged(FOUND, max_cycles=69_999)
    assert missed.failure is FailureKind.BEYOND_LIMIT
    assert missed.reason == "NPU cycles (Vela) 70000 is above 69999"


def test_cycles_are_not_known_with_operators_on_the_cpu() -> None:
    found = dataclasses.replace(FOUND, cpu_operators={"QUANTIZE": 1, "SOFTMAX": 2})
    cycles, operators = judged(found, max_cycles=1_000_000, cpu_operators="refuse")
    assert (cycles.met, cycles.value, cycles.failure) == (False, None, FailureKind.NOT_MEASURED)
    assert "QUANTIZE, 2 × SOFTMAX would run on the CPU" in cycles.reason
    assert (operators.value, operators.reason) == (3, "Vela leaves QUANTIZE, 2 × SOFTMAX on the CPU")


def test_what_was_not_compiled_does_not_pass() -> None:
    missed = judged(None, max_cycles=1, max_sram=1, max_flash=1, cpu_operators="refuse")
    assert [one.failure for one in missed] == [FailureKind.NOT_MEASURED] * 4


def test_a_candidate_is_compiled_and_judged(judge: Judge) -> None:
    content = Path(model_files.tflite_file(judge.candidate)).read_bytes()
    asked = NpuOptions(accelerator="ethos-u55-64", max_cycles=10_000_000, max_sram=1)
    own = vela.compile_file(content, asked.compiled_for()).figures
    gate = JudgedGate.of(Gate.model_validate({**ON_DEVICE, "flash": {"max": "20 kB"}}), asked)
    assert JudgedGate.model_validate_json(gate.model_dump_json()) == gate

    verdict = judge(gate=gate, runtime="tflite-micro", npu=asked.compiled_for())

    assert verdict.measured.device and verdict.measured.device.npu == own
    assert {j.key: (j.value, j.met) for j in verdict.judgements if j.key.startswith("target.npu")} == {
        "target.npu.max_sram": (own.sram, False),
        "target.npu.max_cycles": (own.cycles, True),
    }
    assert verdict.reasons == (f"NPU SRAM (Vela) {own.sram / 1000:.1f} kB is above 1 B",)
    properties = verdict.properties()
    assert (properties["npu_cycles"], properties["npu_flash_bytes"]) == (own.cycles, own.flash)


def test_a_candidate_that_vela_does_not_compile_fails(judge: Judge) -> None:
    asked = NpuOptions(accelerator="ethos-u55-64", memory_mode="No_Such")
    gate = JudgedGate.of(Gate.model_validate(ON_DEVICE), asked)
    verdict = judge(gate=gate, runtime="tflite-micro", npu=asked.compiled_for())
    assert [one.kind for one in verdict.failures] == [FailureKind.MEASUREMENT_FAILED]
    assert verdict.reasons[0].startswith(
        "compiling for the NPU failed: VelaError: Vela cannot compile the file:"
    )
