"""Names, limits, selection and the run: values that make no sense are refused, and defaults."""

from __future__ import annotations

import pytest

from pipeline.config.config_file import load
from pipeline.config.problem import ConfigError
from tests.pipeline.config.small_config import CONFIG, change
from tests.project import MNIST, config_problem, read_config


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
            "write either `minimize: size | gzip_size | brotli_size | latency | memory | flash` or `maximize: "
            "accuracy`",
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
            id="metadata store that is not a URI",
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
