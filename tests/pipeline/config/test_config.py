"""Which configs make sense: chains, names, the gate. Each refusal names the line, the key, the fix."""

from __future__ import annotations

import pytest

from pipeline.config.config_file import load
from pipeline.config.problem import ConfigError
from tests.project import MNIST, changed, config_problem, read_config

# `# here` marks the line that a refusal must name.
CONFIG = """\
name: digits
data:
  path: data/mnist
  label: label
model:
  module: configs.mnist.model
candidates:
  int8:
    - convert: {quantization: int8}
gate:
  accuracy: {metric: SparseCategoricalAccuracy, max_drop: 0.01}
push: {directory: serving}
"""


def change(old: str, new: str) -> str:
    return changed(CONFIG, old, new)


def with_chain(*steps: str) -> str:
    return change("    - convert: {quantization: int8}\n", "".join(f"    - {step}\n" for step in steps))


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


@pytest.mark.parametrize(
    ("quantization", "io", "needed"),
    [("int8", "int16", "int16x8"), ("dynamic", "int8", "int8"), ("float32", "int16", "int16x8")],
)
def test_io_that_does_not_fit_the_quantization_is_refused(tmp_path, quantization, io, needed):
    step = f"convert: {{quantization: {quantization}, io: {io}}}  # here"
    problem = config_problem(tmp_path, with_chain(step))

    assert problem.key() == "candidates.int8[0].convert"
    assert problem.message == (
        f"io: {io} needs quantization: {needed} (this is {quantization}); write io: float32 or "
        "change the quantization"
    )


@pytest.mark.parametrize(
    ("sparsity", "message"),
    [
        ("0", "must be greater than 0, but is 0"),
        ("-0.1", "must be greater than 0, but is -0.1"),
        ("1", "must be less than 1, but is 1"),
        ("1.5", "must be less than 1, but is 1.5"),
        (".nan", "must be a finite number, but is nan"),
        ('"0.8"', "must be a number, but is '0.8'"),
        ("true", "must be a number, but is True"),
    ],
)
def test_sparsity_outside_0_to_1_is_refused(tmp_path, sparsity, message):
    prune = f"prune: {{epochs: 1,\n             sparsity: {sparsity}}}  # here"
    problem = config_problem(tmp_path, with_chain(prune, "convert: {quantization: int8}"))

    assert problem.key() == "candidates.int8[0].prune.sparsity"
    assert problem.message == message


def test_initial_sparsity_above_the_target_is_refused(tmp_path):
    prune = "prune: {sparsity: 0.5, initial_sparsity: 0.6}  # here"
    problem = config_problem(tmp_path, with_chain(prune, "convert: {quantization: int8}"))

    assert problem.key() == "candidates.int8[0].prune"
    assert problem.message == "initial_sparsity (0.6) must be below sparsity (0.5)"


@pytest.mark.parametrize(
    ("written", "key", "expected"),
    [
        pytest.param(
            "epochs: 2, steps: 100", "", "epochs (2) and steps (100) both say how long to train; write one",
            id="two lengths",
        ),
        pytest.param(
            "early_stopping: {}", "", "early_stopping compares epochs, and there is one only", id="one epoch"
        ),
        pytest.param(
            "epochs: 9, early_stopping: {monitor: accuracy}", ".early_stopping",
            "monitor: accuracy is measured on the training split", id="monitor of the training split",
        ),
        pytest.param(
            "epochs: 9, early_stopping: {patience: 2, minimum: 1}", ".early_stopping.minimum",
            "unknown key", id="unknown key of early_stopping",
        ),
        pytest.param(
            "learning_rate_schedule: {kind: cosinus}", ".learning_rate_schedule.kind",
            "'cosinus' is not one of constant, linear, cosine, exponential; did you mean 'cosine'?",
            id="misspelt schedule",
        ),
        pytest.param(
            "learning_rate_schedule: {warmup: 10}", ".learning_rate_schedule.warmup",
            "must be less than 1, but is 10", id="warm-up in steps",
        ),
        pytest.param(
            "learning_rate_schedule: cosine", ".learning_rate_schedule",
            "must be a mapping with keys of kind, warmup, end, but is 'cosine'", id="schedule without keys",
        ),
        pytest.param("seed: -1", ".seed", "must be at least 0, but is -1", id="negative seed"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("step", ["fine_tune", "qat", "baseline"])
def test_training_that_makes_no_sense_is_refused_in_every_step(tmp_path, step, written, key, expected):
    if step == "baseline":
        if written.startswith("early_stopping"):
            written = f"epochs: 1, {written}"
        text = change("configs.mnist.model", f"configs.mnist.model\n  train: {{{written}}}  # here")
        where = "model.train"
    else:
        text = with_chain(f"{step}: {{{written}}}  # here", "convert: {quantization: int8}")
        where = f"candidates.int8[0].{step}"
    problem = config_problem(tmp_path, text)

    assert problem.key() == where + key
    assert problem.message.startswith(expected)


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
    ("old", "new", "key", "message"),
    [
        pytest.param(
            "gate:\n  accuracy: {metric: SparseCategoricalAccuracy, max_drop: 0.01}",
            "gate:  # here\n  accuracy: {metric: SparseCategoricalAccuracy}\n  latency: {threads: 2}",
            "gate",
            "the gate has no limits, so anything would pass; write at least one of min, max,",
            id="gate without limits",
        ),
        pytest.param(
            "push:",
            "  size: {min: 2 kB, max: 1 kB}  # here\npush:",
            "gate.size",
            "min (2.0 kB) is above max (1.0 kB): nothing could pass",
            id="limits that nothing can meet",
        ),
        pytest.param(
            "gate:\n",
            "gate:  # here\n  gzip_size: {max: 1 kB}\n  size: {of: gzip, max: 2 kB}\n",
            "gate",
            "size with of: gzip and gzip_size both limit the compressed file; write its limits under gzip_size",
            id="two limits on one size",
        ),
        pytest.param(
            "push:",
            "  size: {max: 60 kilos}  # here\npush:",
            "gate.size.max",
            "'60 kilos' is not a size; write bytes, or a number with B, kB, MB, KiB or MiB",
            id="size in unknown units",
        ),
        pytest.param(
            "push:",
            "  latency: {percentile: 95}  # here\npush:",
            "gate.latency.percentile",
            "95 is not one of 50, 90, 99",
            id="percentile that is not measured",
        ),
        pytest.param(
            "push:",
            "select: {minimize: size, maximize: accuracy}  # here\npush:",
            "select",
            "write either `minimize: size | gzip_size | latency | memory` or `maximize: accuracy`",
            id="selection by two figures",
        ),
        pytest.param(
            "name: digits",
            "name: Digits_1  # here",
            "name",
            "'Digits_1' must be 1 to 40 lower-case letters, digits and '-'",
            id="name that Kubernetes refuses",
        ),
        pytest.param(
            "  int8:",
            "  int8-:  # here",
            "candidates.int8-",
            "'int8-' must be 1 to 40 lower-case letters, digits and '-'",
            id="candidate name that Kubernetes refuses",
        ),
        pytest.param(
            "name: digits",
            f"name: {'d' * 41}  # here",
            "name",
            f"{'d' * 41!r} must be 1 to 40",
            id="name that is too long",
        ),
        pytest.param(
            "configs.mnist.model",
            "configs/mnist/model.py  # here",
            "model.module",
            "'configs/mnist/model.py' is a file; write it as Python imports it: configs.mnist.model",
            id="file where a module belongs",
        ),
        pytest.param(
            "push:",
            'run: {metadata: "sqlite:metadata"}  # here\npush:',
            "run.metadata",
            "'sqlite:metadata' is not a metadata store; write sqlite:///relative/path or "
            "sqlite:////absolute/path",
            id="metadata store that is no URI",
        ),
        pytest.param(
            "push:",
            "run: {seed: 2147483648}  # here\npush:",
            "run.seed",
            "must be less than 2147483648, but is 2147483648",
            id="seed above 31 bits",
        ),
        pytest.param(
            "candidates:\n  int8:\n    - convert: {quantization: int8}\n",
            "candidates: {}  # here\n",
            "candidates",
            "must not be empty, but is {}",
            id="no candidates",
        ),
        pytest.param(
            "  int8:\n    - convert: {quantization: int8}\n",
            "  int8: []  # here\n",
            "candidates.int8",
            "must not be empty, but is []",
            id="candidate without steps",
        ),
    ],
)
def test_value_that_makes_no_sense_is_refused(tmp_path, old, new, key, message):
    problem = config_problem(tmp_path, change(old, new))

    assert problem.key() == key
    assert problem.message.startswith(message)


@pytest.mark.parametrize(
    ("run", "pipeline_root", "metadata_path"),
    [
        ("", ".paredown/digits", ".paredown/digits/metadata.sqlite"),
        ("run: {pipeline_root: out}", "out", "out/metadata.sqlite"),
        ('run: {metadata: "sqlite:///all.db"}', ".paredown/digits", "all.db"),
        ('run: {metadata: "sqlite:////var/all.db"}', ".paredown/digits", "/var/all.db"),
    ],
)
def test_pipeline_root_and_metadata_store_have_defaults(
    tmp_path, monkeypatch, run, pipeline_root, metadata_path
):
    monkeypatch.chdir(tmp_path)
    config = read_config(tmp_path, CONFIG + run).config

    assert (config.pipeline_root, config.metadata_path) == (pipeline_root, metadata_path)


def test_only_keeps_the_named_candidates_in_the_given_order(tmp_path):
    more = "  b:\n    - convert: {quantization: dynamic}\n  c:\n    - convert: {quantization: float16}\n"
    config = read_config(tmp_path, change("gate:\n", more + "gate:\n")).config

    assert list(config.only(["c", "int8", "c"]).candidates) == ["c", "int8"]
    assert list(config.candidates) == ["int8", "b", "c"]
    with pytest.raises(KeyError, match="int9"):
        config.only(["int9"])


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


@pytest.mark.parametrize(
    ("override", "key", "message"),
    [
        (
            "gate.accuracy.slices=[{by: label}]",
            "gate.accuracy.slices[0]",
            "a slice without limits judges nothing",
        ),
        ("gate.accuracy.slices=[{by: [], min: 0.1}]", "gate.accuracy.slices[0].by", "must not be empty"),
        (
            "gate.accuracy.slices=[{by: [label, image], values: [1], min: 0.1}]",
            "gate.accuracy.slices[0]",
            "values belong to one feature, and `by` names 2; write by: label, or remove `values`",
        ),
        ("gate.accuracy.config={name: example_count}", "gate.accuracy", "Paredown sets name"),
        ("model.hparams={classes: {0: a}}", "model.hparams.classes[0]", "the key 0 is not text; quote it"),
        ("run.beam_args=[hello]", "run.beam_args[0]", "'hello' is not an option; write it as --name=value"),
    ],
)
def test_what_would_judge_nothing_or_change_on_the_way_is_refused(override, key, message):
    with pytest.raises(ConfigError) as refused:
        load(MNIST, [override])
    (problem,) = refused.value.problems
    assert problem.key() == key
    assert message in problem.message
