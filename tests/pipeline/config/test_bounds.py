"""Hostile configs: each is refused within two seconds of the processor, with a line and a key if the file has them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from pipeline.config.config_file import load
from pipeline.config.problem import ConfigError, Problem
from pipeline.config.yaml_text import MOST_NODES
from tests.project import config_text

QUICK = 2.0  # seconds of this thread, whatever else the machine does
LAUGHS = "\n".join(
    ["  l0: &l0 [1, 2, 3, 4, 5, 6, 7, 8, 9]"]
    + [f"  l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 10)]
)


def refused(folder: Path, text: str, *sets: str) -> list[Problem]:
    """The problems of a config, found quickly and each short."""
    path = folder / "pipeline.yaml"
    path.write_text(text, encoding="utf-8")
    begun = time.thread_time()
    with pytest.raises(ConfigError) as error:
        load(path, sets)
    assert time.thread_time() - begun < QUICK
    assert all(len(str(problem)) < 4000 for problem in error.value.problems)
    return error.value.problems


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


@pytest.mark.parametrize("inside", ["model: {module: m, hparams: {", "unknown: {"])
def test_aliases_that_multiply_are_counted(tmp_path: Path, inside: str) -> None:
    sections = dict([inside.partition(": ")[::2]])
    ((name, opening),) = sections.items()
    text = config_text(
        **{name: f"{opening}\n{LAUGHS.replace(chr(10), ',' + chr(10))}\n{'}' * opening.count('{')}"}
    )

    (problem,) = refused(tmp_path, text)

    assert "the config has more than 20,000 values up to here" in problem.message
    # 9 + 9² + 9³ + 9⁴ values are 7,380, and the next level passes the limit.
    assert problem.key().startswith(f"{'model.hparams' if name == 'model' else name}.l4[")
    assert problem.line in (
        line_of(text, "l0: &l0"),
        line_of(text, "l1: &l1"),
    )  # where that value is written


def test_aliases_of_a_set_are_counted(tmp_path: Path) -> None:
    value = "{" + LAUGHS.replace("\n", ",") + "}"
    (problem,) = refused(tmp_path, config_text(), f"model.hparams={value}")
    assert "20,000 values" in problem.message and problem.file.startswith("--set model.hparams={")


def test_a_set_within_an_alias_is_counted_for_each(tmp_path: Path) -> None:
    text = config_text(model="{module: m, hparams: {a: &a {}, b: [" + "*a, " * 5000 + "]}}")
    (problem,) = refused(tmp_path, text, f"model.hparams.a.x=[{'1, ' * 9000}]")
    assert "20,000 values" in problem.message


def test_merges_are_counted(tmp_path: Path) -> None:
    keys = ", ".join(f"k{n}: 1" for n in range(3000))
    text = config_text() + f"a: &a {{{keys}}}\nb: [{', '.join(['{<<: *a}'] * 3000)}]\n"
    (problem,) = refused(tmp_path, text)
    assert "more than 20,000 values" in problem.message
    assert (problem.line, problem.key()) == (8, "b[4]")


@pytest.mark.parametrize(
    ("number", "what"),
    [
        ("9" * 5000, "a whole number of more than 64 bits"),
        ("0x" + "f" * 5000, "a whole number of more than 64 bits"),
        ("0b" + "1" * 5000, "a whole number of more than 64 bits"),
        ("0o" + "7" * 5000, "a whole number of more than 64 bits"),
        (str(2**63), "a whole number of more than 64 bits"),
        ("1." + "0" * 5000, "a number of 5,002 characters"),
        ("1e400", "must be a finite number, but is inf"),
        ("0x_", "is not a number"),
        ("2024-13-45", "'2024-13-45' is a date that a config cannot hold; quote it"),
        ("2024-01-01 10:00:00", "is a date"),
        ('!!int "x"', "'x' is a kind of value"),
        ("!!float x", "'x' is a kind of value"),
        ("!!python/object:os.system x", "'x' is a kind of value"),
        ("!!set {a}", "tag tag:yaml.org,2002:set is a kind of value"),
    ],
)
@pytest.mark.parametrize("by_set", [False, True])
def test_values_that_no_config_can_hold_keep_line_and_key(
    tmp_path: Path, number: str, what: str, by_set: bool
) -> None:
    if by_set:
        (problem,) = refused(tmp_path, config_text(), f"model.hparams.units={number}")
        assert problem.file.startswith("--set model.hparams.units=")
    else:
        (problem,) = refused(tmp_path, config_text(model=f"\n  module: m\n  hparams:\n    units: {number}"))
        assert problem.line == 6
    assert problem.key() == "model.hparams.units" and what in problem.message and len(problem.message) < 200


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("010", 10),
        ("0o10", 8),
        ("0x1f", 31),
        ("-0b11", -3),
        ("1_000", 1000),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("1:30", "1:30"),
        ("yes", "yes"),
        ("2024-1-1", "2024-1-1"),
        ("TRUE", True),
        ("~", None),
        ("'1'", "1"),
        ("!!str 1", "1"),
        ("!!float 1", 1.0),
        (str(-(2**63)), -(2**63)),
        ("=", "="),
    ],
)
def test_scalars_are_those_of_yaml_1_2(tmp_path: Path, written: str, value: object) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(config_text(model=f"\n  module: m\n  hparams:\n    units: {written}"))
    found = load(path).config.model.hparams["units"]
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("line", "key", "what"),
    [
        ("    ~: 1", "model.hparams", "an empty key is not text; quote it"),
        ("    ? {a: 1}\n    : 2", "model.hparams", "a key must be text, not a mapping or list"),
        ("    ? [a]\n    : 2", "model.hparams", "a key must be text, not a mapping or list"),
        ("    a: &a [1]\n    *a : 2", "model.hparams", "a key must be text, not a mapping or list"),
        ("    2024-01-01: 2", "model.hparams", "the key '2024-01-01' is not text; quote it"),
        ("    .nan: 2", "model.hparams", "the key nan is not text; quote it"),
        ("    <<: 3", "model.hparams", "<< must name a mapping, or a list of mappings"),
        (f"    a: {'[' * 3000}{']' * 3000}", "model.hparams.a", "is nested deeper than 50 levels"),
        (f"    a: {'[' * 500000}", "model.hparams.a", "is nested deeper than 50 levels"),
        (f"    a: {'{a: ' * 3000}", "model.hparams.a", "is nested deeper than 50 levels"),
        (f"    ? {'? ' * 3000}", "model.hparams", "a key must be text, not a mapping or list"),
    ],
)
def test_keys_and_depth_keep_line_and_key(tmp_path: Path, line: str, key: str, what: str) -> None:
    text = config_text(model=f"\n  module: m\n  hparams:\n{line}")
    (problem,) = refused(tmp_path, text)
    assert what in problem.message
    assert problem.key().startswith(key) and problem.line in (6, 7)


def test_a_set_is_not_deeper_than_a_file(tmp_path: Path) -> None:
    (problem,) = refused(tmp_path, config_text(), f"model.hparams.{'a.' * 9000}a=1")
    assert "is nested deeper than 50 levels" in problem.message and problem.file.startswith(
        "--set model.hparams.a"
    )
    (problem,) = refused(tmp_path, config_text(), f"candidates.int8.{'9' * 9000}=1")
    assert "has nothing at '999" in problem.message


def test_aliases_do_not_nest_deeper(tmp_path: Path) -> None:
    levels = "\n".join(f"    a{n}: &a{n} [[[[[[*a{n - 1}]]]]]]" for n in range(1, 2000))
    text = config_text(model=f"\n  module: m\n  hparams:\n    a0: &a0 1\n{levels}")
    (problem,) = refused(tmp_path, text)
    assert "is nested deeper than 50 levels" in problem.message and problem.key().startswith(
        "model.hparams.a8"
    )


def test_a_version_directive_is_refused(tmp_path: Path) -> None:
    (problem,) = refused(tmp_path, "%YAML 1.1\n---\n" + config_text())
    assert problem.message == "a config is YAML 1.2; remove the %YAML directive"
    assert problem.line == 1


def test_many_unknown_keys_are_many_but_not_endless_problems(tmp_path: Path) -> None:
    text = config_text() + "".join(f"unknown{n}: 1\n" for n in range(MOST_NODES // 2 - 100))
    found = refused(tmp_path, text)
    assert [problem.line for problem in found] == [*range(7, 57), None]
    assert found[-1].message == "has more problems than these 50; fix them first"
    (problem,) = refused(tmp_path, config_text() + "".join(f"unknown{n}: 1\n" for n in range(20_000)))
    assert "has more than 20,000 values" in problem.message and problem.line


@pytest.mark.parametrize(
    "filler",
    [
        "# a comment of some length\n" * 36_000,
        "#\n" * 490_000,
        "\n" * 980_000,
        "a" * 980_000,
        f"'{'x y ' * 240_000}'",
        f'"{chr(92)}x41' * 200_000,
        "? " * 490_000,
        "- " * 490_000,
        "&a " * 300_000,
        "!a " * 300_000,
        "a: " * 300_000,
        "|\n" + " x\n" * 300_000,
        "--- \n" * 190_000,
    ],
    ids=lambda text: repr(text[:12]),
)
def test_a_megabyte_of_anything_is_answered_quickly(tmp_path: Path, filler: str) -> None:
    refused(tmp_path, config_text(gate=None) + filler)


def test_a_larger_file_is_not_read(tmp_path: Path) -> None:
    for text in ("# comment\n" * 10**6, f"name: {'x' * 10**7}\n"):
        (problem,) = refused(tmp_path, text)
        assert f"it has {len(text):,} bytes, and a config may have 1,000,000" in problem.message


@pytest.mark.parametrize("where", ["name: {}", "push: {{directory: {}}}", "{}: 1", "data: {{format: {}}}"])
def test_a_long_text_is_shown_in_part(tmp_path: Path, where: str) -> None:
    found = refused(tmp_path, config_text(name=None, gate=None) + where.format("x" * 900_000))
    assert all(len(str(problem)) < 4000 and problem.to_json()["message"] for problem in found)


def test_a_fifo_or_device_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.yaml")
    for path in (tmp_path / "fifo.yaml", Path("/dev/zero")):
        with pytest.raises(ConfigError, match="it is not a regular file"):
            load(path)


def test_control_characters_of_a_config_are_not_printed(tmp_path: Path) -> None:
    text = config_text(name='"a\\e[2K\\rpipeline.yaml is valid\\u202e\\u2028"', push=None)
    text += '"push\\e]0;title\\a\\nall is well": {}\n'
    for problem in refused(tmp_path, text):
        assert not set(str(problem)) & set("\x1b\r\n\a\u202e\u2028")
