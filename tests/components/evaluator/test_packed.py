"""The gate on a packed candidate: it is judged by the file that is deployed, and fails if that is another model."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from components.common.models import model_files
from components.common.tflite import packing
from components.common.tflite.tflm import TFLMModel
from components.evaluator.judgement import FailureKind
from components.evaluator.params import Gate
from tests.components.conftest import Step
from tests.components.evaluator.judging import ON_DEVICE, Judge
from tests.conftest import Digits


@pytest.fixture
def packed(judge: Judge, clustered: Step, converted: Callable[..., Step]) -> Judge:
    """Evaluates a packed candidate."""
    shutil.rmtree(judge.candidate)
    shutil.copytree(converted(clustered.uri, "int8", "int8", pack="lut").uri, judge.candidate)
    return judge


def test_a_packed_candidate_is_judged_by_what_is_deployed_and_compared_with_the_plain_file(
    packed: Judge, mnist_arrays: dict[str, Digits]
) -> None:
    limits = {**ON_DEVICE, "memory": {"max": "40 kB"}}
    verdict = packed(gate=Gate.model_validate(limits), runtime="tflite-micro")
    assert verdict.blessed, verdict.reasons
    files = [Path(path(packed.candidate)) for path in (model_files.tflite_file, model_files.packed_file)]
    plain, deployed = (path.stat().st_size for path in files)
    memory = [TFLMModel.read(str(path)).arena() for path in files]
    device = verdict.measured.device
    assert device and device.packed
    assert verdict.measured.bytes("file") == plain > deployed == device.bytes("flash")
    assert (device.packed.flash, device.packed.flash_ratio) == (plain, deployed / plain)
    assert (device.memory["candidate"], device.packed.memory) == (memory[1], memory[0])
    assert device.packed.memory_ratio == memory[1].total / memory[0].total > 1
    assert (device.packed.examples, device.packed.differing) == (len(mnist_arrays["eval"].labels), 0)
    assert device.packed.time_ratio > 0
    assert {kernel.layer: kernel.left == "" for kernel in device.packed.kernels}["dense"]
    judged = {j.key: j.value for j in verdict.judgements if j.kind in ("memory", "flash")}
    assert (judged["gate.memory.max"], judged["gate.flash.max"]) == (memory[1].total, deployed)
    assert Path(files[1]).name in {Path(name).name for name in verdict.judged}
    properties = verdict.properties()
    assert (properties["packed_flash_ratio"], properties["packed_differing"]) == (deployed / plain, 0)


def test_a_packed_file_with_other_outputs_fails(packed: Judge) -> None:
    plain = Path(model_files.tflite_file(packed.candidate)).read_bytes()
    other = packing.pack(packing.few_values(plain, {"dense": 8}), "lut").content
    assert other is not None
    Path(model_files.packed_file(packed.candidate)).write_bytes(other)
    verdict = packed(gate=Gate.model_validate(ON_DEVICE), runtime="tflite-micro")
    assert not verdict.blessed
    assert [one.kind for one in verdict.failures] == [FailureKind.PACKED_DIFFERS]
    found = verdict.measured.device
    assert found and found.packed and found.packed.differing > 100
    assert verdict.reasons[0].startswith(
        f"the packed file's outputs differ from the plain file's on {found.packed.differing:,} of "
    )


def test_a_packed_file_that_is_missing_or_does_not_load_fails(packed: Judge) -> None:
    path = Path(model_files.packed_file(packed.candidate))
    path.write_bytes(path.read_bytes()[:1000])
    verdict = packed(gate=Gate.model_validate(ON_DEVICE), runtime="tflite-micro")
    assert not verdict.blessed and verdict.reasons[0].startswith(
        "measuring on the target failed: TFLMError: does not load"
    )
    path.unlink()
    verdict = packed(gate=Gate.model_validate(ON_DEVICE), runtime="tflite-micro")
    assert not verdict.blessed and "model.packed.tflite is missing; run again" in verdict.reasons[0]
    assert {j.failure for j in verdict.judgements if j.kind == "flash"} == {FailureKind.NOT_MEASURED}
