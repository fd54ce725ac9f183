"""Which chains of steps make sense. Each refusal names the line, the key, the fix."""

from __future__ import annotations

import pytest

from pipeline.config.config_file import load
from pipeline.config.problem import ConfigError
from tests.pipeline.config.small_config import change, with_chain
from tests.project import MNIST, config_problem, read_config


@pytest.mark.parametrize(
    ("steps", "index", "message"),
    [
        pytest.param(
            ["convert: {quantization: int8}", "prune: {sparsity: 0.5}  # here"],
            1,
            "`prune` cannot follow `convert`: it writes the TFLite file that is deployed",
            id="prune after convert",
        ),
        pytest.param(
            ["convert: {quantization: int8}", "qat: {}  # here"],
            1,
            "`qat` cannot follow `convert`: it writes the TFLite file that is deployed",
            id="qat after convert",
        ),
        pytest.param(
            ["convert: {quantization: int8}", "distill: {}  # here"],
            1,
            "`distill` cannot follow `convert`: it builds a new model",
            id="distill after convert",
        ),
        pytest.param(
            ["qat:", "convert: {quantization: int8}", "convert: {quantization: int8}  # here"],
            2,
            "`convert` is in ['qat', 'convert', 'convert'] twice; write it once",
            id="two converts",
        ),
        pytest.param(
            ["convert: {quantization: int8}", "qat:  # here", "convert: {quantization: int8}"],
            1,
            "`qat` cannot follow `convert`",
            id="a step between two converts",
        ),
        pytest.param(
            ["prune: {sparsity: 0.5}", "qat:  # here"],
            1,
            "the last step is `qat`, but only a TFLite file can be judged and pushed; end the chain "
            "with e.g. `- convert: {quantization: int8}`",
            id="no convert",
        ),
        pytest.param(
            ["qat:", "prune: {sparsity: 0.5}  # here", "convert: {quantization: int8}"],
            1,
            "`prune` cannot follow `qat`: its fake-quantization wrappers cannot be wrapped again; "
            "write the other step before `qat`",
            id="prune after qat",
        ),
        pytest.param(
            ["prune: {sparsity: 0.5}", "distill:  # here", "convert: {quantization: int8}"],
            1,
            "`distill` cannot follow `prune`: it builds a new model, so the effect of earlier steps would be "
            "lost; write it first",
            id="distill after prune",
        ),
        pytest.param(
            ["distill:", "distill:  # here", "convert: {quantization: int8}"],
            1,
            "`distill` is in ['distill', 'distill', 'convert'] twice",
            id="two distills",
        ),
        pytest.param(
            ["qat:", "qat: {epochs: 2}  # here", "convert: {quantization: int8}"],
            1,
            "`qat` is in ['qat', 'qat', 'convert'] twice",
            id="two qats",
        ),
        pytest.param(
            ["prune: {sparsity: 0.5}", "fine_tune:", "distill:  # here", "convert: {quantization: int8}"],
            2,
            "`distill` cannot follow `prune`: it builds a new model, so the effect of earlier steps would be lost",
            id="distill after a pruning that was trained on",
        ),
        pytest.param(
            ["qat:", "fine_tune:", "prune: {sparsity: 0.5}  # here", "convert: {quantization: int8}"],
            2,
            "`prune` cannot follow `qat`: its fake-quantization wrappers cannot be wrapped again",
            id="prune after a qat that was trained on",
        ),
        pytest.param(
            [
                "prune: {sparsity: 0.5}",
                "prune_channels: {ratio: 0.5}  # here",
                "convert: {quantization: int8}",
            ],
            1,
            "`prune_channels` cannot follow `prune`: write it before `prune`",
            id="prune_channels after prune",
        ),
        pytest.param(
            ["convert: {quantization: int8}", "fine_tune:  # here"],
            1,
            "`fine_tune` cannot follow `convert`: it writes the TFLite file that is deployed, which no step "
            "can train further",
            id="fine_tune after convert",
        ),
        pytest.param(
            ["prune: {sparsity: 0.5}", "fine_tune:  # here"],
            1,
            "the last step is `fine_tune`, but only a TFLite file can be judged and pushed",
            id="no convert after fine_tune",
        ),
        pytest.param(
            ["qat:", "fine_tune:", "convert: {quantization: float16}  # here"],
            2,
            "`qat` trains for int8, and `convert` to float16 would not keep that",
            id="qat, trained on, converted to float16",
        ),
        *[
            pytest.param(
                ["qat:", f"convert: {{quantization: {quantization}}}  # here"],
                1,
                f"`qat` trains for int8, and `convert` to {quantization} would not keep that; write "
                "`convert: {quantization: int8}`, or leave `qat` out",
                id=f"qat converted to {quantization}",
            )
            for quantization in ("float32", "dynamic", "float16", "int16x8")
        ],
    ],
)
def test_chain_that_cannot_work_is_refused_at_the_step(tmp_path, steps, index, message):
    problem = config_problem(tmp_path, with_chain(*steps))

    assert problem.key() == f"candidates.int8[{index}]"
    assert problem.message.startswith(message)


@pytest.mark.parametrize(
    ("steps", "techniques"),
    [
        pytest.param(["convert: {quantization: float16}"], ["convert"], id="convert alone"),
        pytest.param(
            ["qat:", "convert: {quantization: int8, io: int8}"],
            ["qat", "convert"],
            id="a step with nothing after it",
        ),
        pytest.param(
            ["prune: {sparsity: 0.5}", "prune: {sparsity: 0.8}", "convert: {quantization: int8}"],
            ["prune", "prune", "convert"],
            id="prune twice",
        ),
        pytest.param(
            ["distill:", "prune: {sparsity: 0.5}", "qat:", "convert: {quantization: int8}"],
            ["distill", "prune", "qat", "convert"],
            id="distill, prune, qat, convert",
        ),
        pytest.param(
            ["fine_tune:", "fine_tune: {steps: 50}", "convert: {quantization: int8}"],
            ["fine_tune", "fine_tune", "convert"],
            id="fine_tune first, and twice",
        ),
        pytest.param(
            [
                "distill:",
                "fine_tune:",
                "prune: {sparsity: 0.5}",
                "fine_tune:",
                "qat:",
                "fine_tune:",
                "convert: {quantization: int8}",
            ],
            ["distill", "fine_tune", "prune", "fine_tune", "qat", "fine_tune", "convert"],
            id="fine_tune after every step",
        ),
    ],
)
def test_chain_that_works_is_read_in_order(tmp_path, steps, techniques):
    chain = read_config(tmp_path, with_chain(*steps)).config.candidates["int8"]

    assert [step.technique for step in chain.steps()] == techniques


def test_two_techniques_in_one_step_are_refused(tmp_path):
    step = "qat: {}  # here\n      convert: {quantization: int8}"
    problem = config_problem(tmp_path, with_chain(step))

    assert problem.key() == "candidates.int8[0]"
    assert problem.message.endswith("begin the next step with '-'")


def test_same_chain_under_two_names_is_refused_at_the_second(tmp_path):
    # Options that are left at their default are the same as those written out.
    second = "  again:  # here\n    - convert: {io: float32, quantization: int8}\ngate:\n"
    problem = config_problem(tmp_path, change("gate:\n", second))

    assert problem.key() == "candidates.again"
    assert problem.message == "has the same steps and options as 'int8'; remove one of the two"


@pytest.mark.parametrize(
    ("second", "works"),
    [
        ("{prune: {sparsity: 0.9}}", True),
        ("{prune: {sparsity: 0.5}}", False),
        ("{prune: {sparsity: 0.5, include: [dense]}}", True),
    ],
)
def test_the_same_layers_are_not_pruned_less_than_before(second, works):
    chain = (
        f"candidates.twice=[{{prune: {{sparsity: 0.8}}}}, {second}, {{convert: {{quantization: int8}}}}]"
    )
    if works:
        load(MNIST, [chain])
        return
    with pytest.raises(ConfigError, match=r"sparsity 0\.5 is below the 0\.8 of an earlier `prune`"):
        load(MNIST, [chain])
