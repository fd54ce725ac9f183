"""Wrong keys and types: each mistake gives one message with line, key and fix."""

from __future__ import annotations

import pytest

from components.common.base.near_names import nearest
from pipeline.config.config_file import load
from pipeline.config.problem import ConfigError
from tests.pipeline.config.small_config import WITH_LIMITS
from tests.project import MNIST, changed, config_problem, marked_line, read_config


@pytest.mark.parametrize(
    ("old", "new", "key", "message"),
    [
        pytest.param(
            "candidates:",
            "candidats:  # here",
            "candidats",
            "unknown key; did you mean 'candidates'? Known here: name, data, model, search, candidates,",
            id="section",
        ),
        pytest.param(
            "  label: label",
            "  label: label\n  labels: label  # here",
            "data.labels",
            "unknown key; did you mean 'label'? Known here: format, path, splits, range, label, classes, "
            "class_weights, in_memory, missing, image",
            id="key of a section",
        ),
        pytest.param(
            "{max_ratio: 0.3}",
            "{max_ratio: 0.3, owner: me}  # here",
            "gate.size.owner",
            "unknown key; known here: min, max, max_drop, max_ratio, min_ratio, of",
            id="key that is like no other",
        ),
        pytest.param(
            "    - convert",
            "    - quat: {}  # here\n    - convert",
            "candidates.int8[0].quat",
            "unknown key; did you mean 'qat'? Known here: ",
            id="step",
        ),
        pytest.param(
            "    - convert",
            "    - quantize: {}  # here\n    - convert",
            "candidates.int8[0].quantize",
            "unknown key; did you mean convert: {quantization: …}? Known here: ",
            id="option of a step as a step",
        ),
        pytest.param(
            "    - convert",
            "    - prune: {sparsty: 0.5, sparsity: 0.5}  # here\n    - convert",
            "candidates.int8[0].prune.sparsty",
            "unknown key; did you mean 'sparsity'? Known here: ",
            id="option of a step",
        ),
        pytest.param(
            "{quantization: int8}",
            "{quantization: int-8}  # here",
            "candidates.int8[0].convert.quantization",
            "'int-8' is not one of float32, dynamic, float16, int8, int16x8; did you mean 'int8'?",
            id="value of an option",
        ),
        pytest.param(
            "{units: 10}",
            "{1: 10}  # here",
            "model.hparams[1]",
            "must be text",
            id="number as a key",
        ),
        pytest.param(
            "  label: label",
            "  label: 3  # here",
            "data.label",
            "must be text (quote it if YAML reads it as a number or date), but is 3",
            id="number for text",
        ),
        pytest.param(
            "  label: label",
            "  label:  # here",
            "data.label",
            "must be text (quote it if YAML reads it as a number or date), but is empty",
            id="nothing for text",
        ),
        pytest.param(
            "name: digits",
            "name: 2024-01-01  # here",
            "name",
            "'2024-01-01' is a date that a config cannot hold; quote it",
            id="date for text",
        ),
        pytest.param(
            "name: digits",
            "name: 2024-13-45  # here",
            "name",
            "'2024-13-45' is a date that a config cannot hold; quote it",
            id="date that does not exist",
        ),
        pytest.param(
            "name: digits",
            "name: !!set digits  # here",
            "name",
            "'digits' is a kind of value that a config cannot hold; quote it",
            id="tag that does not fit",
        ),
        pytest.param(
            "{units: 10}",
            "{since: 2024-01-01}  # here",
            "model.hparams.since",
            "'2024-01-01' is a date that a config cannot hold; quote it",
            id="date among hparams",
        ),
        pytest.param(
            "{units: 10}",
            "{units: [1, .inf]}  # here",
            "model.hparams.units[1]",
            "must be a finite number, but is inf",
            id="infinity among hparams",
        ),
        pytest.param(
            "{units: 10}",
            "{units: !big 10}  # here",
            "model.hparams.units",
            "'10' is a kind of value that a config cannot hold; quote it",
            id="tag among hparams",
        ),
        pytest.param(
            "{max_ratio: 0.3}",
            "{max_ratio: thirty}  # here",
            "gate.size.max_ratio",
            "must be a number, but is 'thirty'",
            id="text for a number",
        ),
        pytest.param(
            "push:",
            "run: {seed: 4.2}  # here\npush:",
            "run.seed",
            "must be a whole number, but is 4.2",
            id="fraction for a whole number",
        ),
        pytest.param(
            "{metric: SparseCategoricalAccuracy, max_drop: 0.01}",
            "{metric: AUC, min: 0.9, higher_is_better: yes}  # here",
            "gate.accuracy.higher_is_better",
            "must be true or false, but is 'yes'",
            id="text for true or false",
        ),
        pytest.param(
            "push: {directory: serving}",
            "push: serving  # here",
            "push",
            "must be a mapping with keys of directory, c_array, web, tfjs, serving, but is 'serving'",
            id="text for a section",
        ),
        pytest.param(
            "\n    - convert: {quantization: int8}",
            "  # here\n    convert: {quantization: int8}",
            "candidates.int8",
            "must be a list (begin each entry with '- '), but is {'convert':",
            id="mapping for a list",
        ),
        pytest.param(
            "    - convert: {quantization: int8}",
            "    - convert  # here",
            "candidates.int8[0]",
            "must be a mapping with keys of ",
            id="text for a step",
        ),
        pytest.param(
            "{metric: SparseCategoricalAccuracy, max_drop: 0.01}",
            "\n    metric: AUC\n    min: 0.9\n    slices: [{max_drop: 0.1}]  # here",
            "gate.accuracy.slices[0].by",
            "is missing: The feature, or features, that divide the examples.",
            id="missing in a list",
        ),
        pytest.param(
            "name: digits\n",
            "",
            "name",
            "is missing: Name of the pipeline, which identifies its runs and its cache.",
            id="missing at top level",
        ),
        pytest.param(
            "push: {directory: serving}\n",
            "",
            "push",
            "is missing: Where to push the best candidate.",
            id="missing section",
        ),
        pytest.param(
            "data:\n  path: data/mnist",
            "data:  # here",
            "data.path",
            "is missing: Folder of the files. Relative paths are relative to the folder of the config; ~ is the home "
            "folder.",
            id="missing in a section",
        ),
    ],
)
def test_wrong_key_or_type_is_refused(tmp_path, old, new, key, message):
    text = changed(WITH_LIMITS, old, new)
    problem = config_problem(tmp_path, text)

    assert problem.key() == key
    assert problem.message.startswith(message)
    assert problem.line == marked_line(text)
    assert problem.file == str(tmp_path / "pipeline.yaml")


def test_each_mistake_gives_one_problem_in_the_order_of_the_sections(tmp_path):
    text = (
        WITH_LIMITS.replace("name: digits", "name: Digits")
        .replace("  label: label", "  lable: label")
        .replace("module: configs.mnist.model", "module: configs.mnist.model\n  train: {epochs: 0}")
        .replace("{quantization: int8}", "{quantization: int9}")
        .replace("{max_ratio: 0.3}", "{max_ratio: -1}")
        .replace("push: {directory: serving}\n", "")
    )
    with pytest.raises(ConfigError) as raised:
        read_config(tmp_path, text)

    assert [(p.line, p.key()) for p in raised.value.problems] == [
        (1, "name"),
        (4, "data.lable"),
        (7, "model.train.epochs"),
        (11, "candidates.int8[0].convert.quantization"),
        (14, "gate.size.max_ratio"),
        (None, "push"),
    ]
    path = tmp_path / "pipeline.yaml"
    assert str(raised.value).splitlines()[2] == (
        f"{path}:7: model.train.epochs: must be at least 1, but is 0"
    )
    assert (
        str(raised.value).splitlines()[5] == f"{path}: push: is missing: Where to push the best candidate."
    )


@pytest.mark.parametrize(
    ("name", "known", "suggestion"),
    [
        ("quat", ["prune", "qat"], "; did you mean 'qat'?"),
        ("auc", ["AUC", "FPR"], "; did you mean 'AUC'?"),
        ("zebra", ["prune", "qat"], ""),
        ("zebra", [], ""),
    ],
)
def test_nearest_ends_a_sentence(name, known, suggestion):
    assert nearest(name, known) == suggestion


@pytest.mark.parametrize("written", ["model.py", "configs/mnist/model.py"])
def test_a_file_in_place_of_a_module_is_reported_by_its_dotted_name(written):
    with pytest.raises(ConfigError) as refused:
        load(MNIST, [f"model.module={written}"])
    (problem,) = refused.value.problems
    assert problem.message.endswith("write it as Python imports it: " + written[:-3].replace("/", "."))
