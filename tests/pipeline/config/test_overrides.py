"""`--set`: what it writes, and how its mistakes are named."""

from __future__ import annotations

import pytest

from tests.pipeline.config.small_config import WITH_LIMITS
from tests.project import config_problem, read_config


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
    assert value(read_config(tmp_path, WITH_LIMITS, [override]).config)


def test_last_set_of_a_key_wins(tmp_path):
    file = read_config(tmp_path, WITH_LIMITS, ["gate.size.max_ratio=-1", "gate.size={max_ratio: 0.4}"])

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
        (
            "push=null",
            "push",
            "must be a mapping with keys of directory, c_array, web, tfjs, serving, but is empty",
        ),
        ("model.hparams.units=.nan", "model.hparams.units", "must be a finite number, but is nan"),
    ],
)
def test_set_that_is_wrong_is_named_in_place_of_a_line(tmp_path, override, key, message):
    problem = config_problem(tmp_path, WITH_LIMITS, [override])

    assert (problem.file, problem.line, problem.key()) == (f"--set {override}", None, key)
    assert problem.message.startswith(message.format(path=tmp_path / "pipeline.yaml"))


def test_problem_found_later_names_line_or_set(tmp_path):
    file = read_config(tmp_path, WITH_LIMITS, ["push.directory=/proc/x"])

    assert str(file.problem(("data", "label"), "no")) == f"{file.path}:4: data.label: no"
    # A missing value is on the line of the section that it would be in.
    assert str(file.problem(("data", "splits", "eval"), "no")) == (f"{file.path}:2: data.splits.eval: no")
    assert str(file.problem(("run", "seed"), "no")) == f"{file.path}: run.seed: no"
    assert str(file.problem(("push", "directory"), "no")) == (
        "--set push.directory=/proc/x: push.directory: no"
    )


def test_mapping_that_holds_itself_is_refused(tmp_path):
    problem = config_problem(tmp_path, WITH_LIMITS, ["model.hparams=&h {units: *h}"])

    assert problem.key() == "model.hparams.units"
    assert problem.message == "refers to itself; write the value out"
