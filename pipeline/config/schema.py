"""The JSON Schema of a config: which keys it has at a location, and what they are for."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from pipeline.config.config import Config
from pipeline.config.problem import Location

_Schema = dict[str, Any]


@functools.cache
def whole() -> _Schema:
    """The JSON Schema of the config, made from its pydantic models."""
    return Config.model_json_schema()


def keys(location: Location) -> list[str]:
    """Keys of the mapping at a location, in their order; empty if it takes any, or is not a mapping."""
    return list(dict.fromkeys(key for part in _at(location) for key in part.get("properties", ())))


def description(location: Location) -> str:
    """The purpose of the value at a location: its field's description, or the first line of its section's."""
    for parent in _at(location[:-1]):
        written = parent.get("properties", {}).get(location[-1], {})
        if "description" in written:
            return str(written["description"])
        for part in _arms(written):
            return str(part.get("description", "")).partition("\n")[0]
    return ""


def takes_anything(location: Location) -> bool:
    """Whether the schema says nothing about the value at a location, as it does within `model.hparams`."""
    return any(not part for part in _at(location))


def _at(location: Location) -> list[_Schema]:
    """The schemas that a value at a location may meet: one, or one for each alternative."""
    found = list(_arms(whole()))
    for part in location:
        found = [arm for each in found for arm in _arms(_item(each, part))]
    return found


def _item(schema: _Schema, part: str | int) -> object:
    """The schema of an item of a mapping or list; None if it does not exist."""
    if not schema:  # anything, so anything within
        return {}
    if isinstance(part, int):
        return schema.get("items")
    properties = schema.get("properties", {})
    return properties[part] if part in properties else schema.get("additionalProperties")


def _arms(schema: object) -> Iterator[_Schema]:
    """A schema without references and alternatives."""
    if schema is True:
        yield {}
    elif isinstance(schema, dict):
        reference = schema.get("$ref")
        if reference is not None:
            yield from _arms(whole()["$defs"][reference.rpartition("/")[2]])
            return
        alternatives = schema.get("anyOf") or schema.get("oneOf")
        if alternatives is None:
            # What only names and describes a value lets anything pass.
            yield schema if schema.keys() - {"title", "description", "default"} else {}
        for alternative in alternatives or ():
            yield from _arms(alternative)
