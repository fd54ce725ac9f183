"""A config as a tree: reading the file, finding lines in it, and turning it into plain values."""

from __future__ import annotations

import math
import os
import stat
from pathlib import Path
from typing import Any

from pipeline.base.texts import excerpt
from pipeline.config import schema
from pipeline.config.problem import ConfigError, Location, Problem
from pipeline.config.yaml_text import (
    DEEPEST,
    MOST_BYTES,
    MOST_NODES,
    Mapping,
    Sequence,
    TextError,
    Unusable,
    parse,
)

_SHOWN = 60  # characters of a value in a message
_NUL = "has a NUL character, which no name or path can have; remove it"


def read(path: Path) -> Mapping:
    """Reads a YAML file whose content is a mapping.

    Raises:
        ConfigError: If the file cannot be read, is not YAML, is larger or deeper than a config may be, or has
            something else in it than a mapping.
    """

    def refusal(message: str, line: int | None = None, at: Location = ()) -> ConfigError:
        return ConfigError([Problem(message, at, str(path), line)])

    try:
        text = _content(path).decode("utf-8")
    except FileNotFoundError:
        raise refusal(
            "no such file; write the path of a config, e.g. configs/mnist/pipeline.yaml"
        ) from None
    except IsADirectoryError:
        raise refusal("is a folder; write the path of the YAML file in it") from None
    except (OSError, ValueError) as error:
        raise refusal(f"cannot be read as UTF-8 text: {error}") from None
    try:
        tree = parse(text)
    except TextError as error:
        raise refusal(str(error), error.line, error.path) from None
    if not isinstance(tree, Mapping):
        kind = "list" if isinstance(tree, list) else "single value"
        what = "is empty" if tree is None else f"holds a {kind}"
        raise refusal(f"{what}; write a mapping with the keys {', '.join(schema.keys(()))}")
    return tree


def _content(path: Path) -> bytes:
    """The content of a regular file; of a large one, as much as shows that it is too large."""
    # Opening a FIFO waits for a writer.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError
        if not stat.S_ISREG(mode):
            raise OSError("it is not a regular file")
        size = os.fstat(file.fileno()).st_size
        if size > MOST_BYTES:
            raise OSError(f"it has {size:,} bytes, and a config may have {MOST_BYTES:,}")
        return file.read(MOST_BYTES + 1)


def has(node: object, part: str | int) -> bool:
    """Whether a node of a tree has an item with this key or index."""
    if isinstance(node, list):
        return isinstance(part, int) and part < len(node)
    return isinstance(node, dict) and part in node


def line_of(tree: Mapping, location: Location) -> int | None:
    """Line of the deepest part of `location` that the file has, from 1."""
    line = None
    node: Any = tree
    for part in location:
        if not has(node, part):
            break
        if isinstance(node, Mapping):
            place = node.lines.get(part)
        else:
            place = node.lines[part] if isinstance(node, Sequence) and isinstance(part, int) else None
        if place is None:
            break  # part of a merge (`<<`) or of a --set, so it has no line itself
        line = place
        node = node[part]
    return line


def shown(value: object) -> str:
    """A value for a message."""
    if value is None:
        return "empty"
    if isinstance(value, str):
        value = value[: _SHOWN + 1]  # the repr of a megabyte takes its time
    return excerpt(repr(value), _SHOWN)


def plain(tree: Mapping) -> tuple[dict[str, Any], list[Problem]]:
    """A tree in plain Python types, which pydantic's strict mode asks for.

    Returns:
        The values; and a problem for each value that JSON cannot hold (a date, .nan, a tag), since ML Metadata and
        the cache key hold the config as JSON.

    Raises:
        ConfigError: If aliases make the tree larger or deeper than a config may be.
    """
    copy = _Copy()
    return copy.of(tree, ()), copy.problems


class _Copy:
    """A copy in plain types."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._nodes = 0

    def of(self, value: Any, at: Location) -> Any:
        """A node in plain types."""
        self._nodes += 1
        if self._nodes > MOST_NODES:
            message = (
                f"the config has more than {MOST_NODES:,} values up to here, counting what aliases repeat"
            )
            raise ConfigError([Problem(message, at)])
        if len(at) > DEEPEST:
            raise ConfigError([Problem(f"is nested deeper than {DEEPEST} levels", at)])
        if isinstance(value, dict):
            for key in value:
                if isinstance(key, str) and "\0" in key:
                    self.problems.append(Problem(_NUL, (*at, key)))
                # Elsewhere pydantic checks keys.
                if not isinstance(key, str) and schema.takes_anything(at):
                    self.problems.append(Problem(f"the key {key!r} is not text; quote it", (*at, key)))
            return {key: self.of(item, (*at, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.of(item, (*at, i)) for i, item in enumerate(value)]
        if isinstance(value, float) and not math.isfinite(value):
            self.problems.append(Problem(f"must be a finite number, but is {value}", at))
            return None
        if isinstance(value, Unusable):
            self.problems.append(Problem(value.why, at))
            return None
        if isinstance(value, str) and "\0" in value:
            self.problems.append(Problem(_NUL, at))
        return value
