"""What is found out of a file of an untrained model before training: operators that an NPU leaves on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from components.common.base.npu_options import NpuOptions
from components.common.models import model_files
from components.common.tflite.tflm import TFLMModel
from components.targets.microcontroller.examination import examine
from tests.components.conftest import Step
from tests.conftest import Trained


def test_operators_on_the_cpu_are_a_note_unless_they_are_refused(
    trained: Trained, converted: Callable[..., Step]
) -> None:
    float_io, int8_io = (
        Path(model_files.tflite_file(converted(trained.uri, *asked).uri)).read_bytes()
        for asked in (("int8",), ("int8", "int8"))
    )
    limited = NpuOptions(accelerator="ethos-u55-128", max_cycles=100_000)
    refusing = NpuOptions(accelerator="ethos-u55-128", cpu_operators="refuse")
    left = "Vela leaves DEQUANTIZE, QUANTIZE on the CPU of ethos-u55-128; write io: int8 under convert"

    noted, refused, passed = (
        examine(float_io, limited),
        examine(float_io, refusing),
        examine(int8_io, refusing),
    )

    assert noted.notes == (
        f"{left}; max_cycles cannot be met, because Vela does not estimate their cycles",
    )
    assert (noted.refusal, refused.refusal, refused.notes) == ("", left, ())
    assert (passed.refusal, passed.notes) == ("", ())
    assert noted.memory == TFLMModel(float_io).arena()
    assert examine(float_io).notes == ()
