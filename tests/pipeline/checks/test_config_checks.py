"""Everything that is said about a config without TensorFlow."""

from __future__ import annotations

import contextlib
import itertools
import os

import pytest
from ruamel.yaml import YAML

from pipeline.checks.checked_config import load_checked
from pipeline.checks.config_checks import check
from pipeline.config.config_file import load
from pipeline.config.problem import ConfigError
from tests.pipeline.checks.unread import CONFIG, checked
from tests.pipeline.config.test_any_config import locations
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


# Texts that are hard to use as a path, a name or a pattern.
ODD = [
    "x" * 300,
    "x/" * 2000,
    "http://host/x",
    "'a\\b'",
    "/",
    "/dev/zero",
    '"\\e[2J\\n"',
    "..",
    "loop",
    "fifo",
    "''",
    "'*'",
]
PLACES = ["name", "data.path", "data.splits.train", "model.module", "push.directory", "run.pipeline_root"]


def odd_files(project):
    (project.root / "loop").symlink_to("loop")
    os.mkfifo(project.root / "fifo")


def refused_or_taken(project, key, value):
    """Checks a config with a `--set`: that ends in problems, each in one line, or in none."""
    project.write_config(CONFIG)
    for problem in project.checked(f"{key}={value}"):
        assert str(problem).isprintable() and len(str(problem)) < 8000


@pytest.mark.parametrize("key", PLACES)
def test_odd_texts_are_refused_or_taken(unread, key):
    odd_files(unread)
    for value in ODD:
        refused_or_taken(unread, key, value)


@pytest.mark.soak
@pytest.mark.parametrize(
    "config", ["mnist/pipeline", "mnist/techniques", "taxi/pipeline", "transfer/pipeline"]
)
def test_odd_texts_anywhere_are_refused_or_taken(monkeypatch, config):
    monkeypatch.chdir(ROOT)
    path = ROOT / "configs" / f"{config}.yaml"
    keys = locations(YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8")))
    for key, value in itertools.product(keys, ODD):
        with contextlib.suppress(ConfigError):
            load_checked(path, [f"{'.'.join(map(str, key))}={value}"])
