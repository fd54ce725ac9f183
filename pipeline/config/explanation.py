"""Messages for pydantic's errors in a config: what was expected, and what to write."""

from __future__ import annotations

import re
from typing import Any

from pydantic_core import ErrorDetails

from components.common.base.near_names import closest, nearest
from pipeline.config import schema, yaml_tree
from pipeline.config.problem import Location, Problem
from pipeline.config.refused import REFUSED

# pydantic puts validators and tags of unions into locations: `function-before[_empty_step(), Step]`, `arm:one`.
_NOT_A_KEY = re.compile(r"function-\w+\[|arm:")

# Errors that get a message: looking for the nearest of many names takes time, and no one reads more.
_MOST = 500
# From here on, of 1, a name is so much like another that it is likely to be meant.
_ALIKE = 0.7

# pydantic's type of error → what the value must be; {limit} is the bound that it missed.
_EXPECTED = {
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "bool_type": "must be true or false",
    "invalid_key": "must have text as a key (quote it)",
    "string_type": "must be text (quote it if YAML reads it as a number or date)",
    "greater_than": "must be greater than {limit}",
    "greater_than_equal": "must be at least {limit}",
    "less_than": "must be less than {limit}",
    "less_than_equal": "must be at most {limit}",
    "too_short": "must not be empty",
    "string_too_short": "must not be empty",
}


def explain(errors: list[ErrorDetails], tree: object) -> list[Problem]:
    """One problem for each mistake that pydantic reports, often more than once.

    Args:
        errors: As `ValidationError.errors()` returns them.
        tree: The config that was validated.
    """
    found = [(error, _location(error, tree)) for error in errors[:_MOST]]
    # A misspelt key is not missing too.
    meant = [_meant(at) for error, at in found if error["type"] == "extra_forbidden"]
    return [
        Problem(_message(error, at), at)
        for error, at in found
        if error["type"] != "missing" or at not in meant
    ]


def _location(error: ErrorDetails, tree: object) -> Location:
    """Location of an error in the config, without pydantic's additions."""
    location = tuple(part for part in error["loc"] if not _NOT_A_KEY.match(str(part)))
    if error["type"] == REFUSED:
        location += tuple(error["ctx"]["within"])
    node: Any = tree
    kept: list[str | int] = []
    for index, part in enumerate(location):
        if yaml_tree.has(node, part):
            node = node[part]
        elif error["type"] != "missing" or index < len(location) - 1:
            break
        kept.append(part)
    return tuple(kept)


def _meant(location: Location) -> Location:
    """Location of the key that an unknown one is nearest to."""
    name = closest(str(location[-1]), schema.keys(location[:-1]))
    return (*location[:-1], name or "")


def _message(error: ErrorDetails, location: Location) -> str:
    kind, context = error["type"], error.get("ctx", {})
    value = yaml_tree.shown(error.get("input"))
    if kind == "value_error":
        return str(context["error"])
    if kind == REFUSED:
        return str(context["message"])
    if kind == "extra_forbidden":
        return _unknown(str(location[-1]), location[:-1])
    if kind == "missing":
        use = schema.description(location)
        return f"is missing: {use}" if use else "is missing"
    if kind == "literal_error":
        allowed = [word.strip(" '") for word in context["expected"].replace(" or ", ", ").split(",")]
        meant = nearest(error["input"], allowed) if isinstance(error["input"], str) else ""
        return f"{value} is not one of {', '.join(allowed)}{meant}"
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        known = schema.keys(location)
        return f"must be a mapping{' with keys of ' * bool(known)}{', '.join(known)}, but is {value}"
    if kind == "list_type":
        return f"must be a list (begin each entry with '- '), but is {value}"
    limit = next((context[key] for key in ("gt", "ge", "lt", "le") if key in context), None)
    shown = f"{limit:g}" if isinstance(limit, float) else limit
    return f"{_EXPECTED.get(kind, error['msg']).replace('{limit}', str(shown))}, but is {value}"


def _unknown(name: str, section: Location) -> str:
    known = schema.keys(section)
    if name in known:
        return "is not allowed here"
    meant = _within(name, section, known) or nearest(name, known)
    return f"unknown key{meant + ' Known' if meant else '; known'} here: {', '.join(known)}"


def _within(name: str, section: Location, known: list[str]) -> str:
    """The advice to write a key of an inner section, if one of those is much more like the name than `known` are."""
    if closest(name, known, cutoff=_ALIKE):
        return ""
    for key in known:
        inner = closest(name, schema.keys((*section, key)), cutoff=_ALIKE)
        if inner:
            return f"; did you mean {key}: {{{inner}: …}}?"
    return ""
