"""Reading config files: whatever is in one, a mistake gives one message with line, key and fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.common.base.near_names import nearest
from pipeline.config.config_file import load
from pipeline.config.problem import ConfigError
from tests.project import MNIST, changed, config_problem, marked_line, read_config

ROOT = Path(__file__).resolve().parents[3]

# `# here` marks the line that a refusal must name.
CONFIG = """\
name: digits
data:
  path: data/mnist
  label: label
model:
  module: configs.mnist.model
  hparams: {units: 10}
candidates:
  int8:
    - convert: {quantization: int8}
gate:
  accuracy: {metric: SparseCategoricalAccuracy, max_drop: 0.01}
  size: {max_ratio: 0.3}
push: {directory: serving}
"""


def change(old: str, new: str) -> str:
    return changed(CONFIG, old, new)


def test_shipped_config_is_valid():
    file = load(MNIST)

    assert file.config.name == "mnist"
    assert len(file.config.candidates) == 6


KEYS = "write a mapping with the keys name, data, model, candidates, gate, select, push, run, kubeflow"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        pytest.param("", None, f"is empty; {KEYS}", id="empty"),
        pytest.param("# nothing yet\n", None, f"is empty; {KEYS}", id="only a comment"),
        pytest.param("- name: digits\n", None, f"holds a list; {KEYS}", id="a list"),
        pytest.param("digits\n", None, f"holds a single value; {KEYS}", id="a scalar"),
        pytest.param(
            change("path: data/mnist", "path: [data/mnist"),
            4,
            "is not YAML: did not find expected ',' or ']'",
            id="bracket that is not closed",
        ),
        pytest.param(
            change("  path: data", "\tpath: data"),
            3,
            "is not YAML: found character that cannot start any token",
            id="tab as indentation",
        ),
        pytest.param(
            change("label: label", "label: label\n   epochs: 4"),
            5,
            "is not YAML: mapping values are not allowed in this context",
            id="wrong indentation",
        ),
        pytest.param(
            change("label: label", "label: *name"),
            4,
            "is not YAML: found undefined alias 'name'",
            id="alias without an anchor",
        ),
        pytest.param(CONFIG + "---\n" + CONFIG, 15, "is not YAML: found another document", id="two files"),
        pytest.param(
            change("name: digits", "name: dig\0its"),
            1,
            "is not YAML: unacceptable character #x0000",
            id="null character",
        ),
        pytest.param(
            CONFIG + "name: again\n",
            15,
            "key 'name' is in this mapping twice; remove or rename one",
            id="key twice at top level",
        ),
        pytest.param(
            change("  label: label", "  label: label\n  path: data"),
            5,
            "key 'path' is in this mapping twice; remove or rename one",
            id="key twice in a section",
        ),
        pytest.param(
            change("gate:\n", "  int8:\n    - convert: {quantization: dynamic}\ngate:\n"),
            11,
            "key 'int8' is in this mapping twice; remove or rename one",
            id="candidate twice",
        ),
        pytest.param(
            change("{max_ratio: 0.3}", "{max_ratio: 0.3, max_ratio: 0.4}"),
            13,
            "key 'max_ratio' is in this mapping twice; remove or rename one",
            id="key twice in braces",
        ),
        pytest.param(
            CONFIG.encode() + b"# caf\xe9\n",
            None,
            "cannot be read as UTF-8 text: 'utf-8' codec can't decode byte 0xe9",
            id="Latin-1",
        ),
        pytest.param(
            b"\xff\xfe" + CONFIG.encode("utf-16-le"),
            None,
            "cannot be read as UTF-8 text: 'utf-8' codec can't decode byte 0xff",
            id="UTF-16",
        ),
    ],
)
def test_file_that_is_no_config_is_refused(tmp_path, text, line, message):
    problem = config_problem(tmp_path, text)

    assert problem.message.startswith(message)
    assert "\n" not in problem.message
    assert (problem.line, problem.key()) == (line, "")


def test_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigError) as raised:
        load(tmp_path / "pipline.yaml")

    assert str(raised.value) == (
        f"{tmp_path}/pipline.yaml: no such file; write the path of a config, e.g. "
        "configs/mnist/pipeline.yaml"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("old", "new", "key", "message"),
    [
        pytest.param(
            "candidates:",
            "candidats:  # here",
            "candidats",
            "unknown key; did you mean 'candidates'? Known here: name, data, model, candidates,",
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
            "unknown key; known here: min, max, max_drop, max_ratio, of",
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
            "must be a mapping with keys of directory, c_array, but is 'serving'",
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
            "is missing: Name of the pipeline; its runs and its cache belong to this name.",
            id="missing at top level",
        ),
        pytest.param(
            "push: {directory: serving}\n",
            "",
            "push",
            "is missing: Where the best candidate is pushed to.",
            id="missing section",
        ),
        pytest.param(
            "data:\n  path: data/mnist",
            "data:  # here",
            "data.path",
            "is missing: Folder of the files. Relative paths go by the folder of the config; ~ is the home folder.",
            id="missing in a section",
        ),
    ],
)
def test_wrong_key_or_type_is_refused(tmp_path, old, new, key, message):
    text = change(old, new)
    problem = config_problem(tmp_path, text)

    assert problem.key() == key
    assert problem.message.startswith(message)
    assert problem.line == marked_line(text)
    assert problem.file == str(tmp_path / "pipeline.yaml")


def test_each_mistake_gives_one_problem_in_the_order_of_the_sections(tmp_path):
    text = (
        CONFIG.replace("name: digits", "name: Digits")
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
        str(raised.value).splitlines()[5]
        == f"{path}: push: is missing: Where the best candidate is pushed to."
    )


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("gate.size.max_ratio=0.5", lambda c: c.gate.size.max_ratio == 0.5),
        ("gate.size={max: 60 kB}", lambda c: c.gate.size.bounds() == {"max": 60_000}),
        ("model.train.epochs=2", lambda c: c.model.train.epochs == 2),
        ("candidates.int8.0.convert.io=int8", lambda c: c.candidates["int8"].steps()[0].io == "int8"),
        ("candidates.f16=[{convert: {quantization: float16}}]", lambda c: len(c.candidates) == 2),
        ("data.splits.eval=a=b*", lambda c: c.data.splits.eval == "a=b*"),
        ('data.label="3"', lambda c: c.data.label == "3"),
        (" name =other", lambda c: c.name == "other"),
        ("model.hparams.units=null", lambda c: c.model.hparams == {"units": None}),
    ],
)
def test_set_writes_a_value(tmp_path, override, value):
    assert value(read_config(tmp_path, CONFIG, [override]).config)


def test_last_set_of_a_key_wins(tmp_path):
    file = read_config(tmp_path, CONFIG, ["gate.size.max_ratio=-1", "gate.size={max_ratio: 0.4}"])

    assert file.config.gate.size.max_ratio == 0.4
    assert list(file.overrides) == [("gate", "size")]


@pytest.mark.parametrize(
    ("override", "key", "message"),
    [
        ("gate.size.max_ratio", "", "write it as --set key=value"),
        ("=3", "", "write it as --set key=value"),
        ("name=[", "", "'[': is not YAML: did not find expected node content"),
        ("name=2024-13-45", "name", "'2024-13-45' is a date that a config cannot hold; quote it"),
        ("name.first=x", "", "{path} has nothing at 'first'"),
        ("name.first.second=x", "", "{path} has nothing at 'first'"),
        ("candidates.int8.7.convert={}", "", "{path} has nothing at 7"),
        ("candidates.int8.1=x", "", "{path} has nothing at 1"),
        ("candidates.int8.².x=1", "", "{path} has nothing at '²'"),
        ("gate.size.max_ratio=-1", "gate.size.max_ratio", "must be greater than 0, but is -1"),
        ("gate.size={max_ratio: -1}", "gate.size.max_ratio", "must be greater than 0, but is -1"),
        ("gate.sise.max_ratio=1", "gate.sise", "unknown key; did you mean 'size'?"),
        ("model.train.epoch=1", "model.train.epoch", "unknown key; did you mean 'epochs'?"),
        ("name=2024-01-01", "name", "'2024-01-01' is a date"),
        ("push=null", "push", "must be a mapping with keys of directory, c_array, but is empty"),
        ("model.hparams.units=.nan", "model.hparams.units", "must be a finite number, but is nan"),
    ],
)
def test_set_that_is_wrong_is_named_in_place_of_a_line(tmp_path, override, key, message):
    problem = config_problem(tmp_path, CONFIG, [override])

    assert (problem.file, problem.line, problem.key()) == (f"--set {override}", None, key)
    assert problem.message.startswith(message.format(path=tmp_path / "pipeline.yaml"))


def test_problem_found_later_names_line_or_set(tmp_path):
    file = read_config(tmp_path, CONFIG, ["push.directory=/proc/x"])

    assert str(file.problem(("data", "label"), "no")) == f"{file.path}:4: data.label: no"
    # What the file does not have is on the line of what it would stand in.
    assert str(file.problem(("data", "splits", "eval"), "no")) == (f"{file.path}:2: data.splits.eval: no")
    assert str(file.problem(("run", "seed"), "no")) == f"{file.path}: run.seed: no"
    assert str(file.problem(("push", "directory"), "no")) == (
        "--set push.directory=/proc/x: push.directory: no"
    )


def test_anchors_and_merges_are_read_as_plain_values(tmp_path):
    text = CONFIG.replace(
        "  accuracy: {metric: SparseCategoricalAccuracy, max_drop: 0.01}",
        "  accuracy: {metric: AUC, max_drop: &drop 0.01, higher_is_better: &up true}\n"
        "  latency: &limits {max: 3}",
    ).replace("{max_ratio: 0.3}", "{<<: *limits, max_drop: *drop}")
    gate = read_config(tmp_path, text).config.gate

    assert gate.accuracy.higher_is_better is True
    assert gate.size.bounds() == {"max": 3, "max_drop": 0.01}


def test_mapping_that_holds_itself_is_refused(tmp_path):
    problem = config_problem(tmp_path, CONFIG, ["model.hparams=&h {units: *h}"])

    assert problem.key() == "model.hparams.units"
    assert problem.message == "refers to itself; write the value out"


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


def test_a_folder_is_no_config(tmp_path):
    with pytest.raises(ConfigError) as refused:
        load(tmp_path)
    (problem,) = refused.value.problems
    assert problem.message == "is a folder; write the path of the YAML file in it"


@pytest.mark.parametrize("written", ["model.py", "configs/mnist/model.py"])
def test_a_file_in_place_of_a_module_is_told_by_its_dotted_name(written):
    with pytest.raises(ConfigError) as refused:
        load(MNIST, [f"model.module={written}"])
    (problem,) = refused.value.problems
    assert problem.message.endswith("write it as Python imports it: " + written[:-3].replace("/", "."))
