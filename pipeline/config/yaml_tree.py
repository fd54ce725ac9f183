"""A config as YAML: reading the file, finding lines in it, and turning it into plain values."""

from __future__ import annotations

import datetime
import math
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedBase, CommentedMap, CommentedSeq
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.scalarbool import ScalarBoolean

from pipeline.config import schema
from pipeline.config.problem import ConfigError, Location, Problem

_SHOWN = 60  # characters of a value in a message


def read(path: Path) -> CommentedMap:
    """Reads a YAML file whose content is a mapping.

    Returns:
        The tree as ruamel.yaml reads it, which knows the lines.

    Raises:
        ConfigError: If the file cannot be read, is not YAML, or has something else in it than a mapping.
    """

    def refusal(message: str, line: int | None = None) -> ConfigError:
        return ConfigError([Problem(message, (), str(path), line)])

    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise refusal(
            "no such file; write the path of a config, e.g. configs/mnist/pipeline.yaml"
        ) from None
    except IsADirectoryError:
        raise refusal("is a folder; write the path of the YAML file in it") from None
    except (OSError, UnicodeDecodeError) as error:
        raise refusal(f"cannot be read as UTF-8 text: {error}") from None
    try:
        tree = YAML(typ="rt").load(text)
    except DuplicateKeyError as error:
        key = (error.problem or "").split('"')[1] if '"' in (error.problem or "") else "a key"
        line = error.problem_mark.line + 1
        raise refusal(f"key {key!r} is in this mapping twice; remove or rename one", line) from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise refusal(f"is not YAML: {error.problem or error.context}", mark and mark.line + 1) from None
    except Exception as error:
        # ruamel.yaml's errors have no common base: ValueError for the date 2024-13-45, AttributeError for a
        # tag that does not fit its value, RecursionError for deep nesting.
        raise refusal(f"is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(tree, CommentedMap):
        kind = "list" if isinstance(tree, list) else "single value"
        what = "is empty" if tree is None else f"holds a {kind}"
        raise refusal(f"{what}; write a mapping with the keys {', '.join(schema.keys(()))}")
    return tree


def has(node: object, part: str | int) -> bool:
    """Whether a node of a tree has an item with this key or index."""
    if isinstance(node, list):
        return isinstance(part, int) and part < len(node)
    return isinstance(node, dict) and part in node


def line_of(tree: CommentedBase, location: Location) -> int | None:
    """Line of the deepest part of `location` that the file has, from 1."""
    line = None
    node: Any = tree
    for part in location:
        if not has(node, part) or not isinstance(node, CommentedMap | CommentedSeq):
            break
        try:
            place = node.lc.key(part) if isinstance(node, CommentedMap) else node.lc.item(part)
        except (KeyError, TypeError, AttributeError):
            break  # part of a merge (`<<`), so it has no line itself
        line = place[0] + 1
        node = node[part]
    return line


def shown(value: object) -> str:
    """A value for a message."""
    if value is None:
        return "empty"
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def plain(tree: CommentedMap) -> tuple[dict[str, Any], list[Problem]]:
    """A tree in plain Python types, which pydantic's strict mode asks for.

    Returns:
        The values; and a problem for each value that JSON cannot hold (a date, .nan, a tag), since ML Metadata and
        the cache key hold the config as JSON.
    """
    problems: list[Problem] = []
    return _plain(tree, (), (), problems), problems


def _plain(value: Any, at: Location, inside: tuple[int, ...], problems: list[Problem]) -> Any:
    """A node in plain types; `inside` has the identities of the nodes that it is in."""
    if id(value) in inside:
        problems.append(Problem("refers to itself; write the value out", at))
        return None
    within = (*inside, id(value))
    if isinstance(value, dict):
        for key in value:
            # Elsewhere pydantic checks keys.
            if not isinstance(key, str) and schema.takes_anything(at):
                problems.append(Problem(f"the key {key!r} is not text; quote it", (*at, key)))
        return {
            _plain(key, at, within, problems): _plain(item, (*at, key), within, problems)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_plain(item, (*at, i), within, problems) for i, item in enumerate(value)]
    if isinstance(value, bool | ScalarBoolean):  # the latter is a bool with an anchor, and an int
        return bool(value)
    if isinstance(value, float) and not math.isfinite(value):
        problems.append(Problem(f"must be a finite number, but is {value}", at))
        return None
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)
    if value is not None:
        what = "date" if isinstance(value, datetime.date) else "kind of value"
        problems.append(Problem(f"{shown(str(value))} is a {what} that a config cannot hold; quote it", at))
    return None
