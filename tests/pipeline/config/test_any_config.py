"""Whatever a config has in it, reading it ends in a config or in problems with lines, and never in a traceback."""

from __future__ import annotations

import copy
import io
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from pipeline.config.config_file import ConfigFile, load
from pipeline.config.problem import ConfigError, Problem
from tests.project import MNIST, config_text

SHIPPED = MNIST.read_text(encoding="utf-8")
LINES = SHIPPED.splitlines()
# What has a meaning in YAML, and what looks like something else.
MARKS = [*"{}[]:-|>%@~é\0", "&a", "*a", "!tag", ".nan", "2024-13-45", "<<"]

# Examples of each test that `make soak` tries.
SOAK = int(os.environ.get("PAREDOWN_SOAK_EXAMPLES", "2000"))

Tree = dict[str, Any] | list[Any]


def outcome(text: str, *sets: str) -> tuple[ConfigFile | None, list[Problem]]:
    """The config, or its problems, which all have what a person needs to find and fix them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pipeline.yaml")
        path.write_text(text, encoding="utf-8", newline="")
        try:
            return load(path, sets), []
        except ConfigError as error:
            found = error.problems
    assert found
    located = [problem.location for problem in found if problem.location]
    assert len(set(located)) == len(located), "one mistake has several messages"
    for problem in found:
        assert problem.message and "\n" not in str(problem)
        assert problem.file == str(path) or problem.file.startswith("--set ")
        assert problem.line is None or 1 <= problem.line <= len(text.splitlines()) + 1
    return None, found


mishaps = st.one_of(
    st.tuples(st.just("delete"), st.integers(0, len(LINES) - 1), st.just(0)),
    st.tuples(st.just("double"), st.integers(0, len(LINES) - 1), st.integers(0, len(LINES) - 1)),
    st.tuples(st.just("indent"), st.integers(0, len(LINES) - 1), st.integers(0, 6)),
)
replaced = st.tuples(st.integers(0, len(LINES) - 1), st.integers(0, 9), st.sampled_from(MARKS))


@settings(max_examples=75, deadline=None)
@given(st.lists(mishaps, max_size=3), st.lists(replaced, max_size=2))
def test_damaged_lines(moved: list[tuple[str, int, int]], words: list[tuple[int, int, str]]) -> None:
    lines = list(LINES)
    for at, word, mark in words:
        parts = lines[at].split(" ")
        parts[word % len(parts)] = mark
        lines[at] = " ".join(parts)
    for action, at, to in moved:
        at %= len(lines)
        if action == "delete":
            del lines[at]
        elif action == "double":
            lines.insert(to % len(lines), lines[at])
        else:
            lines[at] = " " * to + lines[at].lstrip()
    outcome("\n".join(lines) + "\n")


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text(text: str) -> None:
    assert outcome(text)[0] is None


def locations(tree: Tree, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Locations of all items of a tree."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    found = []
    for key, value in items:
        found.append((*at, key))
        if isinstance(value, dict | list):
            found += locations(value, (*at, key))
    return found


PLAIN: dict[str, Any] = YAML(typ="safe", pure=True).load(SHIPPED)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.dates()
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["kind", "size", "min"]) | st.integers(), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(max_examples=75, deadline=None)
@given(st.sampled_from(locations(PLAIN)), values)
def test_any_value_at_any_key(location: tuple[str | int, ...], value: object) -> None:
    tree: Any = copy.deepcopy(PLAIN)
    parent = tree
    for part in location[:-1]:
        parent = parent[part]
    parent[location[-1]] = value
    text = io.StringIO()
    YAML(typ="safe", pure=True).dump(tree, text)

    _, found = outcome(text.getvalue())

    # The value is at fault, what is in it, or what it does not fit: each is in the file, so each has a line.
    assert all(problem.line for problem in found), found


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([".".join(map(str, at)) for at in locations(PLAIN)]), st.text(max_size=12))
def test_any_set(key: str, value: str) -> None:
    text = f"{key}={value}"
    _, found = outcome(SHIPPED, text)
    assert all(problem.file.startswith(f"--set {key}=") or problem.line for problem in found)


def test_what_is_changed_here_is_a_config_at_first() -> None:
    for text in (SHIPPED, config_text().replace("MODULE", "model")):
        file, found = outcome(text)
        assert file is not None and not found


# What a stranger may put into a file, in any order: YAML's marks, numbers and dates of all sizes, aliases, escapes.
PARTS = [
    *MARKS,
    "\n",
    "\n  ",
    "\n    - ",
    ": ",
    ", ",
    "? ",
    "*l",
    "&l ",
    "<<: *l",
    "!!int ",
    "!!set ",
    "%YAML 1.1\n---\n",
    "---\n",
]
PARTS += [
    "9" * 5000,
    "0x" + "f" * 5000,
    "0b" + "1" * 5000,
    "1e999",
    "-.inf",
    "[" * 60,
    "{a: " * 60,
    "]" * 9,
    "}" * 9,
]
PARTS += [
    "name",
    "hparams",
    "candidates",
    "gate",
    "push",
    "\x1b[2J",
    "\u202e",
    "\ud7ff",
    "'",
    '"',
    "#",
    "|\n",
    ">-\n",
    "~",
    "x" * 5000,
]


@pytest.mark.soak
@settings(max_examples=SOAK, deadline=2000)
@given(
    st.lists(
        st.tuples(st.integers(0, len(SHIPPED)), st.integers(0, 30), st.sampled_from(PARTS)),
        min_size=1,
        max_size=12,
    )
)
def test_parts_anywhere(edits: list[tuple[int, int, str]]) -> None:
    text = SHIPPED
    for at, cut, part in edits:
        text = text[:at] + part + text[at + cut :]
    outcome(text)


@pytest.mark.soak
@settings(max_examples=SOAK, deadline=2000)
@given(st.lists(st.sampled_from(PARTS), max_size=40))
def test_parts_alone(parts: list[str]) -> None:
    outcome("".join(parts))


@pytest.mark.soak
@settings(max_examples=SOAK, deadline=2000)
@given(
    st.lists(
        st.tuples(st.sampled_from(PARTS) | st.text(max_size=9), st.lists(st.sampled_from(PARTS))),
        max_size=4,
    )
)
def test_parts_in_sets(sets: list[tuple[str, list[str]]]) -> None:
    outcome(SHIPPED, *(f"{key}={''.join(value)}" for key, value in sets))
