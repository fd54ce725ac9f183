"""What `explain` says of a candidate on a microcontroller before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.checks import preflight
from pipeline.config.config_file import load
from pipeline.explain.explanation import Candidate
from pipeline.plan.planner import make_plan
from tests.pipeline.explain.test_explain import Case, Project

MICRO = "target=microcontroller"
CONV = 'y = layers.Conv2D(4, 3, padding="same", name="conv")(x)\n'
INT8 = "{convert: {quantization: int8, io: int8}}"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    return Project(tmp_path, monkeypatch)


def examined(project: Project, chain: str, lines: str, *sets: str, **more: Any) -> preflight.Examined:
    project.write(Case(chain, lines, "", "", **more))
    file = load(project.config, [MICRO, *sets])
    return preflight.explain(file, make_plan(file.config, file.path))


@pytest.mark.parametrize(
    "chain",
    [
        f"[{INT8}]",
        f"[{{cluster: {{clusters: 8}}}}, {INT8}]",
        f"[{{qat: {{}}}}, {INT8}]",
        "[{convert: {quantization: float32}}]",
        "[{convert: {quantization: int16x8}}]",
    ],
)
def test_memory_is_predicted(project: Project, chain: str) -> None:
    found = examined(project, chain, CONV)
    assert found.problems == []
    (candidate,) = found.candidates
    assert candidate.device and candidate.device.memory and candidate.baseline_device
    # Input and output of the convolution are in memory at once.
    bytes_each = 4 if "float32" in chain else 2 if "int16" in chain else 1
    assert candidate.device.memory.head >= bytes_each * (8 * 8 * 4 + 8 * 8 * 4)
    assert candidate.baseline_device.memory and candidate.baseline_device.memory.head >= 4 * 512


def test_memory_that_is_predicted_to_miss_a_limit_is_a_warning_at_its_key(project: Project) -> None:
    (candidate,) = examined(project, f"[{INT8}]", CONV).candidates
    assert candidate.device and candidate.device.memory and candidate.size
    total = candidate.device.memory.total

    def warned(*sets: str) -> list[str]:
        file = load(project.config, [f"target={{kind: microcontroller{sets[0]}}}", *sets[1:]])
        found = preflight.check(file, make_plan(file.config, file.path), set())
        assert found.problems == []
        assert all("one is predicted to miss this limit" in one.message for one in found.warnings)
        return [one.key() for one in found.warnings]

    assert warned(f", ram: {total * 0.9:.0f}, flash: {candidate.size * 0.9:.0f}") == [
        "target.ram",
        "target.flash",
    ]
    assert warned(f", ram: {total * 0.97:.0f}, flash: {candidate.size}") == []
    assert warned("", f"gate.memory={{max: {total * 0.9:.0f}, max_ratio: 0.9}}") == ["gate.memory.max"]


REFUSED = [
    (
        "[{convert: {quantization: dynamic}}]",
        CONV,
        "quantization",
        "hybrid models); write quantization: int8",
    ),
    ("[{convert: {quantization: float16}}]", CONV, "quantization", "does not read float16 weights"),
    (
        "[{prune: {sparsity: 0.9}}, {convert: {quantization: float32, sparse: true}}]",
        CONV,
        "sparse",
        "does not read sparse-encoded weights",
    ),
    (
        "[{convert: {quantization: float32, supported_ops: [TFLITE_BUILTINS, SELECT_TF_OPS]}}]",
        CONV,
        "supported_ops",
        "none of TensorFlow's own operators (Flex)",
    ),
]


@pytest.mark.parametrize(
    ("chain", "lines", "option", "message"), REFUSED, ids=[r[2] + r[3][:9] for r in REFUSED]
)
def test_options_that_it_cannot_run_are_refused_by_validate(
    project: Project, chain: str, lines: str, option: str, message: str
) -> None:
    from pipeline.checks import config_checks

    project.write(Case(chain, lines, "", ""))
    (problem,) = config_checks.check(load(project.config, [MICRO]))
    assert message in problem.message
    assert problem.location[:2] == ("candidates", "one") and problem.location[-2:] == ("convert", option)
    assert config_checks.check(load(project.config, [])) == []


def test_a_packed_file_needs_a_target_that_runs_it(project: Project) -> None:
    from pipeline.checks import config_checks

    project.write(Case("[{convert: {quantization: int8, pack: lut}}]", CONV, "", ""))
    (problem,) = config_checks.check(load(project.config, []))
    assert problem.message == (
        "packed files run on target: microcontroller, and the target is mobile; write target: microcontroller, or "
        "remove pack"
    )
    assert problem.location == ("candidates", "one", 0, "convert", "pack")
    assert config_checks.check(load(project.config, [MICRO])) == []


def test_packed_flash_and_memory_are_predicted(project: Project) -> None:
    lines = 'y = layers.Conv2D(32, 3, name="wide")(x)\ny = layers.Conv2D(16, 3, name="conv")(y)\n'

    convert = "{convert: {quantization: int8, io: int8, pack: auto}}"
    project.write(Case(f"[{{cluster: {{clusters: 8}}}}, {convert}]", lines, "", ""))

    def predicted(*sets: str) -> tuple[Candidate, int, str]:
        file = load(project.config, [MICRO, *sets])
        found = preflight.explain(file, make_plan(file.config, file.path))
        (candidate,) = found.candidates
        assert found.problems == [] and candidate.device and candidate.device.memory
        return candidate, candidate.device.memory.total, candidate.steps[-1].explanation.remarks[0]

    packed, memory, remark = predicted()
    assert packed.device and packed.device.flash and packed.size
    assert packed.device.flash < 0.8 * packed.size
    assert memory > 32 * 9 * 16  # the second kernel, decoded
    assert "conv: 3 bits, 1 table of 8, 4,608 → 1,752 B" in remark
    _, within, remark = predicted(f"gate.memory={{max: {memory - 1000}}}")
    assert within <= memory - 1000
    assert "conv: decoding it would take memory to" in remark


def test_operators_that_an_npu_leaves_on_the_cpu_are_named_before_training(project: Project) -> None:
    project.write(Case("[{convert: {quantization: int8}}]", CONV, "", ""))
    target = "target={kind: microcontroller, npu: {accelerator: ethos-u55-128, cpu_operators: refuse}}"
    file = load(project.config, [target])
    (problem,) = preflight.explain(file, make_plan(file.config, file.path)).problems
    assert (
        "Vela leaves DEQUANTIZE, QUANTIZE on the CPU of ethos-u55-128; write io: int8 under convert"
        in problem.message
    )
    assert problem.location[:2] == ("candidates", "one")


def test_layers_that_a_repair_may_leave_in_float_are_noted_or_refused(project: Project) -> None:
    chain = "[{convert: {quantization: int8, io: int8, repair: {max_float: 1}}}]"
    found = examined(project, chain, CONV)
    (step,) = found.candidates[0].steps
    assert "layers in float need float kernels and a floating-point unit" in step.explanation.notes[-1]
    assert "repair leaves 1 layer in float if int8 misses a limit" in step.explanation.remarks[0]
    target = "target={kind: microcontroller, npu: {accelerator: ethos-u55-128, cpu_operators: refuse}}"
    file = load(project.config, [target])
    (problem,) = preflight.explain(file, make_plan(file.config, file.path)).problems
    assert problem.message.startswith("repair leaves layers in float, which ethos-u55-128 does not run")


def test_a_metric_that_cannot_be_measured_on_training_examples_is_refused(project: Project) -> None:
    limits = "limits: [{metric: DiagnosticOddsRatio, min: 2.0}]"
    found = examined(project, f"[{{convert: {{quantization: int8, repair: {{}}, {limits}}}}}]", CONV)
    assert "DiagnosticOddsRatio cannot be measured on training examples" in found.problems[0].message


def test_a_packed_file_is_not_for_an_npu(project: Project) -> None:
    from pipeline.checks import config_checks

    project.write(Case("[{convert: {quantization: int8, pack: lut}}]", CONV, "", ""))
    target = "target={kind: microcontroller, npu: {accelerator: ethos-u55-128}}"
    (problem,) = config_checks.check(load(project.config, [target]))
    assert problem.message.startswith("Vela compiles the plain file for the NPU")
    assert problem.location == ("candidates", "one", 0, "convert", "pack")


def test_packing_without_a_kernel_to_pack_is_refused(project: Project) -> None:
    found = examined(project, "[{convert: {quantization: float32, pack: lut}}]", CONV)
    assert "pack: lut finds no kernel to pack: conv: 144 distinct values" in found.problems[0].message
    assert "write a `cluster` step before `convert`, or remove `pack`" in found.problems[0].message


@pytest.mark.parametrize(
    ("lines", "operator", "instead"),
    [
        ('y = layers.Lambda(lambda t: tf.nn.gelu(t), name="hidden")(x)', "GELU", "write activation relu"),
        (
            'y = layers.Lambda(lambda t: tf.math.top_k(t, 2)[0], name="best")(x)',
            "TOPK_V2",
            "return the probabilities",
        ),
        (
            'y = layers.Lambda(lambda t: tf.math.atan2(t, t + 1), name="angle")(x)',
            "ATAN2",
            "in your program",
        ),
        ('y = layers.Dense(4, name="odd")(x)', "REDUCE_PROD", "write fixed_batch: true"),
        ('y = layers.LayerNormalization(name="norm")(x)', "REDUCE_PROD", "write fixed_batch: true"),
        ('y = layers.GRU(4, unroll=True, name="state")(x)', "FILL", "write fixed_batch: true"),
    ],
)
def test_operators_that_it_lacks_are_refused_before_training(
    project: Project, lines: str, operator: str, instead: str
) -> None:
    found = examined(project, f"[{INT8}]", lines, shape=(6, 4))
    messages = [one.message for one in found.problems]
    assert len(messages) == 1, messages
    assert operator in messages[0] and instead in messages[0]


@pytest.mark.parametrize(
    "lines",
    [
        'y = layers.LayerNormalization(name="norm")(x)',
        'y = layers.Dense(4, name="odd")(x)',
        'y = layers.GRU(4, unroll=True, name="state")(x)',
    ],
)
def test_with_a_fixed_batch_there_are_no_operators_on_shapes(project: Project, lines: str) -> None:
    chain = "[{convert: {quantization: int8, io: int8, fixed_batch: true}}]"
    found = examined(project, chain, lines, shape=(6, 4))
    assert found.problems == []
    (candidate,) = found.candidates
    assert candidate.device and candidate.device.memory and candidate.device.memory.total < 16_000
