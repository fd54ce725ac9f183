"""What is not a config at all: each file gives one message with its line and fix."""

from __future__ import annotations

import pytest

from pipeline.config.config_file import load
from pipeline.config.problem import ConfigError
from tests.pipeline.config.small_config import WITH_LIMITS
from tests.project import MNIST, changed, config_problem, read_config


def test_shipped_config_is_valid():
    file = load(MNIST)

    assert file.config.name == "mnist"
    assert len(file.config.candidates) == 6


KEYS = (
    "write a mapping with the keys name, data, model, search, candidates, gate, select, push, run, kubeflow"
)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        pytest.param("", None, f"is empty; {KEYS}", id="empty"),
        pytest.param("# nothing yet\n", None, f"is empty; {KEYS}", id="only a comment"),
        pytest.param("- name: digits\n", None, f"holds a list; {KEYS}", id="a list"),
        pytest.param("digits\n", None, f"holds a single value; {KEYS}", id="a scalar"),
        pytest.param(
            changed(WITH_LIMITS, "path: data/mnist", "path: [data/mnist"),
            4,
            "is not YAML: did not find expected ',' or ']'",
            id="bracket that is not closed",
        ),
        pytest.param(
            changed(WITH_LIMITS, "  path: data", "\tpath: data"),
            3,
            "is not YAML: found character that cannot start any token",
            id="tab as indentation",
        ),
        pytest.param(
            changed(WITH_LIMITS, "label: label", "label: label\n   epochs: 4"),
            5,
            "is not YAML: mapping values are not allowed in this context",
            id="wrong indentation",
        ),
        pytest.param(
            changed(WITH_LIMITS, "label: label", "label: *name"),
            4,
            "is not YAML: found undefined alias 'name'",
            id="alias without an anchor",
        ),
        pytest.param(
            WITH_LIMITS + "---\n" + WITH_LIMITS, 15, "is not YAML: found another document", id="two files"
        ),
        pytest.param(
            changed(WITH_LIMITS, "name: digits", "name: dig\0its"),
            1,
            "is not YAML: unacceptable character #x0000",
            id="null character",
        ),
        pytest.param(
            WITH_LIMITS + "name: again\n",
            15,
            "key 'name' is in this mapping twice; remove or rename one",
            id="key twice at top level",
        ),
        pytest.param(
            changed(WITH_LIMITS, "  label: label", "  label: label\n  path: data"),
            5,
            "key 'path' is in this mapping twice; remove or rename one",
            id="key twice in a section",
        ),
        pytest.param(
            changed(WITH_LIMITS, "gate:\n", "  int8:\n    - convert: {quantization: dynamic}\ngate:\n"),
            11,
            "key 'int8' is in this mapping twice; remove or rename one",
            id="candidate twice",
        ),
        pytest.param(
            changed(WITH_LIMITS, "{max_ratio: 0.3}", "{max_ratio: 0.3, max_ratio: 0.4}"),
            13,
            "key 'max_ratio' is in this mapping twice; remove or rename one",
            id="key twice in braces",
        ),
        pytest.param(
            WITH_LIMITS.encode() + b"# caf\xe9\n",
            None,
            "cannot be read as UTF-8 text: 'utf-8' codec can't decode byte 0xe9",
            id="Latin-1",
        ),
        pytest.param(
            b"\xff\xfe" + WITH_LIMITS.encode("utf-16-le"),
            None,
            "cannot be read as UTF-8 text: 'utf-8' codec can't decode byte 0xff",
            id="UTF-16",
        ),
    ],
)
def test_file_that_is_not_a_config_is_refused(tmp_path, text, line, message):
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


def test_anchors_and_merges_are_read_as_plain_values(tmp_path):
    text = WITH_LIMITS.replace(
        "  accuracy: {metric: SparseCategoricalAccuracy, max_drop: 0.01}",
        "  accuracy: {metric: AUC, max_drop: &drop 0.01, higher_is_better: &up true}\n"
        "  latency: &limits {max: 3}",
    ).replace("{max_ratio: 0.3}", "{<<: *limits, max_drop: *drop}")
    gate = read_config(tmp_path, text).config.gate

    assert gate.accuracy.higher_is_better is True
    assert gate.size.bounds() == {"max": 3, "max_drop": 0.01}


def test_a_folder_is_not_a_config(tmp_path):
    with pytest.raises(ConfigError) as refused:
        load(tmp_path)
    (problem,) = refused.value.problems
    assert problem.message == "is a folder; write the path of the YAML file in it"
