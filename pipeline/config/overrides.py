"""`--set key=value`: writing a value into a config before it is validated."""

from __future__ import annotations

import re
from typing import Any

from pipeline.base.texts import excerpt, printable
from pipeline.config import yaml_tree
from pipeline.config.metadata_url import redacted
from pipeline.config.problem import ConfigError, Location, Problem
from pipeline.config.yaml_text import Mapping, TextError, parse

_SHOWN = 200  # characters of an override as a place
_INDEX = re.compile(r"[0-9]{1,9}")


def place_of(override: str) -> str:
    """An override as the place of a problem: on one line, and without passwords."""
    return f"--set {excerpt(printable(' '.join(redacted(override).splitlines())), _SHOWN)}"


def apply(tree: Mapping, override: str, file: str) -> Location:
    """Writes a `key=value` into the tree.

    Args:
        tree: Tree of the config.
        override: The key is dotted (`gate.size.max_ratio`, `candidates.int8.0…`), the value is YAML.
        file: Name of the config, for messages.

    Returns:
        The location of the value, or of the outermost mapping that was made for it.

    Raises:
        ConfigError: If the text cannot be read, or the tree has no such location.
    """

    def refusal(message: str) -> ConfigError:
        return ConfigError([Problem(message, (), place_of(override))])

    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise refusal("write it as --set key=value")
    try:
        value = parse(text)
    except TextError as error:
        raise refusal(f"{excerpt(repr(text))}: {error}") from None
    parts = tuple(int(part) if _INDEX.fullmatch(part) else part for part in key.strip().split("."))
    target: Any = tree
    created: Location = ()
    for index, part in enumerate(parts[:-1]):
        if isinstance(target, dict) and isinstance(part, str) and target.get(part) is None:
            target[part] = Mapping()
            created = created or parts[: index + 1]
        if not yaml_tree.has(target, part):
            raise refusal(f"{file} has nothing at {excerpt(repr(part))}")
        target = target[part]
    last = parts[-1]
    if not isinstance(target, dict) and not yaml_tree.has(target, last):
        raise refusal(f"{file} has nothing at {excerpt(repr(last))}")
    target[last] = value
    return created or parts
