"""`--set key=value`: writing a value into a config before it is validated."""

from __future__ import annotations

from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from pipeline.config import yaml_tree
from pipeline.config.metadata_url import redacted
from pipeline.config.problem import ConfigError, Location, Problem


def place_of(override: str) -> str:
    """An override as the place of a problem: on one line, and without passwords."""
    return f"--set {' '.join(redacted(override).splitlines())}"


def apply(tree: CommentedMap, override: str, file: str) -> Location:
    """Writes a `key=value` into the tree.

    Args:
        tree: Of the config.
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
        value = YAML(typ="safe").load(text)
    except Exception:  # ruamel.yaml's errors have no common base
        raise refusal(f"{text!r} is not YAML") from None
    parts = tuple(int(p) if p.isascii() and p.isdigit() else p for p in key.strip().split("."))
    target: Any = tree
    created: Location = ()
    for index, part in enumerate(parts[:-1]):
        if isinstance(target, dict) and isinstance(part, str) and target.get(part) is None:
            target[part] = CommentedMap()
            created = created or parts[: index + 1]
        if not yaml_tree.has(target, part):
            raise refusal(f"{file} has nothing at {part!r}")
        target = target[part]
    last = parts[-1]
    if not isinstance(target, dict) and not yaml_tree.has(target, last):
        raise refusal(f"{file} has nothing at {last!r}")
    target[last] = value
    return created or parts
