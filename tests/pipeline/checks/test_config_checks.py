"""Everything that is said about a config without TensorFlow."""

from __future__ import annotations

from pipeline.checks.config_checks import check
from pipeline.config.config_file import load
from tests.pipeline.checks.unread import CONFIG, checked
from tests.project import MNIST, ROOT


def test_shipped_config_has_no_problems(monkeypatch):
    monkeypatch.chdir(ROOT)

    assert check(load(MNIST)) == []


def test_good_project_has_no_problems(unread):
    assert unread.checked() == []


def test_each_mistake_gives_one_problem_in_the_order_of_the_sections(unread):
    unread.write("my/model.py", "def build_model(): ...\n")
    text = (
        CONFIG.replace("eval: test*", "eval: val*")
        .replace("    - convert", "    - distill: {student: f}\n    - convert")
        .replace("SparseCategoricalAccuracy", "Acuracy")
        .replace("directory: serving", "directory: my/model.py")
        .replace("pipeline_root: out", "pipeline_root: /proc/x\n  metadata: sqlite:///data")
    )

    assert [(p.line, p.key()) for p in checked(unread, text)] == [
        (7, "data.splits.eval"),
        (9, "model.module"),
        (12, "candidates.int8[0].distill.student"),
        (16, "gate.accuracy.metric"),
        (19, "push.directory"),
        (21, "run.pipeline_root"),
        (22, "run.metadata"),
    ]
