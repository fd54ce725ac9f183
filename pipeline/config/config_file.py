"""Reading a config file: every mistake with its file, line, key, and what to write instead."""

from __future__ import annotations

import datetime
import difflib
import math
import re
import types
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, RootModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedBase, CommentedMap, CommentedSeq
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.scalarbool import ScalarBoolean

from pipeline.config.config import Config
from pipeline.config.metadata_url import redacted

Location = tuple[str | int, ...]


@dataclass(frozen=True)
class Problem:
    """One mistake.

    Attributes:
        message: What is wrong and what to write instead.
        location: Keys and indices that lead to it; empty for the file as a whole.
        file: The config file, or the `--set` that the mistake is in.
        line: Line of the file, from 1; None where no line is at fault.
    """

    message: str
    location: Location = ()
    file: str = ""
    line: int | None = None

    def key(self) -> str:
        """The place in the config, as `candidates.int8[0].convert`."""
        text = ""
        for part in self.location:
            text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
        return text

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(part for part in (place, self.key(), self.message) if part)


class ConfigError(Exception):
    """A config that cannot be run. `problems` has one entry for each mistake."""

    def __init__(self, problems: list[Problem]):
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


@dataclass(frozen=True)
class ConfigFile:
    """A config and the text that it came from.

    Attributes:
        path: The file.
        config: Its content, validated.
        tree: Its content as ruamel.yaml read it, overrides applied; knows the lines.
        overrides: Where a `--set` wrote → its `key=value`.
    """

    path: Path
    config: Config
    tree: CommentedMap
    overrides: dict[Location, str] = field(default_factory=dict)

    def problem(self, location: Location, message: str) -> Problem:
        """A mistake at a place in this file."""
        return _problem_at(location, message, self.tree, self.path, self.overrides)


def load(path: str | Path, overrides: list[str] | None = None) -> ConfigFile:
    """Reads and validates a config.

    Args:
        path: The YAML file.
        overrides: `key=value` texts; keys are dotted (`gate.size.max_ratio`, `candidates.int8.0…`),
            values are YAML.

    Raises:
        ConfigError: With one problem for each mistake.
    """
    path = Path(path)
    tree = _read_tree(path)
    written: dict[Location, str] = {}
    for override in overrides or []:
        at = _apply_override(tree, override, path)
        written = {place: text for place, text in written.items() if place[: len(at)] != at}
        written[at] = override

    problems: list[Problem] = []

    def report(location: Location, message: str) -> None:
        # One mistake, one message: the arms of a union each report the same one.
        if all(problem.location != location for problem in problems):
            problems.append(_problem_at(location, message, tree, path, written))

    plain = _plain(tree, (), (), report)
    try:
        config = Config.model_validate(plain)
    except ValidationError as error:
        found = [(entry, _location_of(entry, tree)) for entry in error.errors()]
        meant = [_meant(at) for entry, at in found if entry["type"] == "extra_forbidden"]
        for entry, location in found:
            if entry["type"] != "missing" or location not in meant:
                report(location, _explain(entry, location))
    if problems:
        raise ConfigError(problems)
    return ConfigFile(path, config, tree, written)


def _read_tree(path: Path) -> CommentedMap:
    def refuse(message: str, line: int | None = None) -> ConfigError:
        return ConfigError([Problem(message, (), str(path), line)])

    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise refuse("no such file; write the path of a config, e.g. configs/mnist/pipeline.yaml") from None
    except IsADirectoryError:
        raise refuse("is a folder; write the path of the YAML file in it") from None
    except (OSError, UnicodeDecodeError) as error:
        raise refuse(f"cannot be read as UTF-8 text: {error}") from None
    try:
        tree = YAML(typ="rt").load(text)
    except DuplicateKeyError as error:
        mark = error.problem_mark
        key = (error.problem or "").split('"')[1] if '"' in (error.problem or "") else "a key"
        raise refuse(
            f"key {key!r} stands twice in one mapping; remove or rename one", mark.line + 1
        ) from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise refuse(f"is not YAML: {error.problem or error.context}", mark and mark.line + 1) from None
    except Exception as error:
        # What ruamel.yaml raises has no common base: ValueError for the date 2024-13-45,
        # AttributeError for a tag that does not fit its value, RecursionError for deep nesting.
        raise refuse(f"is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(tree, CommentedMap):
        what = "is empty" if tree is None else f"holds a {_yaml_type(tree)}"
        raise refuse(f"{what}, where a mapping with the keys {', '.join(Config.model_fields)} belongs")
    return tree


def _yaml_type(value: Any) -> str:
    if isinstance(value, CommentedSeq | list):
        return "list"
    if isinstance(value, dict):
        return "mapping"
    return "single value"


def _plain(
    value: Any, at: Location, inside: tuple[int, ...], report: Callable[[Location, str], None]
) -> Any:
    """ruamel.yaml's round-trip types as plain Python ones, which pydantic's strict mode asks for.

    Reports what JSON has no form for (a date, .nan, a tag): ML Metadata and the cache key hold the
    config as JSON.

    Args:
        value: A node of the tree.
        at: Its location.
        inside: Identities of the nodes that it stands in.
        report: Is given the location and the mistake.
    """
    if id(value) in inside:
        report(at, "refers to itself; write the value out")
        return None
    if isinstance(value, dict):
        within = (*inside, id(value))
        nested = (at[:2] == ("model", "hparams") and at[2:]) or _metric_config(at)
        for key in value if nested else ():  # elsewhere pydantic sees to it
            if not isinstance(key, str):
                report((*at, key), f"the key {key!r} is no text; quote it")
        return {
            _plain(key, at, within, report): _plain(item, (*at, key), within, report)
            for key, item in value.items()
        }
    if isinstance(value, list):
        within = (*inside, id(value))
        return [_plain(item, (*at, i), within, report) for i, item in enumerate(value)]
    if isinstance(value, bool | ScalarBoolean):  # the latter is a bool with an anchor, and an int
        return bool(value)
    if isinstance(value, float) and not math.isfinite(value):
        report(at, f"must be a finite number, but is {value}")
        return None
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)
    if value is not None:
        what = "date" if isinstance(value, datetime.date) else "kind of value"
        report(at, f"{_short(str(value))} is a {what} that a config cannot hold; quote it")
    return None


def _metric_config(at: Location) -> Location:
    """What lies inside the arguments of a metric of the gate; empty elsewhere."""
    within = at[2:] if at[:2] == ("gate", "accuracy") else ()
    within = within[1:] if within and isinstance(within[0], int) else within
    return within[1:] if within[:1] == ("config",) else ()


def _apply_override(tree: CommentedMap, override: str, path: Path) -> Location:
    """Writes a `key=value` into the tree; returns the place that it wrote.

    Raises:
        ConfigError: Where it cannot be read, or the tree has no such place.
    """

    def refuse(message: str) -> ConfigError:
        return ConfigError([Problem(message, (), f"--set {redacted(override)}")])

    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise refuse("write it as --set key=value")
    try:
        value = YAML(typ="safe").load(text)
    except Exception:  # as in _read_tree
        raise refuse(f"{text!r} is not YAML") from None
    parts = tuple(int(p) if p.isascii() and p.isdigit() else p for p in key.strip().split("."))
    target: Any = tree
    created: Location = ()
    for index, part in enumerate(parts[:-1]):
        if isinstance(target, dict) and isinstance(part, str):
            if target.get(part) is None:
                target[part] = CommentedMap()
                created = created or parts[: index + 1]
            target = target[part]
        elif isinstance(target, list) and isinstance(part, int) and part < len(target):
            target = target[part]
        else:
            raise refuse(f"{path} has nothing at {part!r}")
    last = parts[-1]
    fits = isinstance(target, dict) or (isinstance(last, int) and last < len(target))
    if not isinstance(target, dict | list) or not fits:
        raise refuse(f"{path} has nothing at {last!r}")
    target[last] = value
    return created or parts


def _problem_at(
    location: Location, message: str, tree: CommentedMap, path: Path, overrides: dict[Location, str]
) -> Problem:
    for length in range(len(location), 0, -1):
        override = overrides.get(location[:length])
        if override is not None:
            return Problem(message, location, f"--set {redacted(override)}")
    return Problem(message, location, str(path), _line_of(tree, location))


def _line_of(tree: CommentedBase, location: Location) -> int | None:
    """Line of the deepest part of `location` that the file has, from 1."""
    line = None
    node: Any = tree
    for part in location:
        try:
            if isinstance(node, CommentedMap) and part in node:
                line = node.lc.key(part)[0] + 1
            elif isinstance(node, CommentedSeq) and isinstance(part, int) and part < len(node):
                line = node.lc.item(part)[0] + 1
            else:
                break
        except (KeyError, TypeError, AttributeError):
            return line  # of a merge (`<<`), so on no line of its own
        node = node[part]
    return line


def _location_of(entry: dict[str, Any], tree: CommentedMap) -> Location:
    """Where in the file a mistake that pydantic found is."""
    # pydantic puts validators in the path, as `function-before[_empty_step(), Step]`, and tags of unions.
    location = tuple(p for p in entry["loc"] if not re.match(r"function-\w+\[|arm:", str(p)))
    if entry["type"] == "refused":
        location += entry["ctx"]["within"]
    return _existing(location, tree, entry["type"])


def _meant(location: Location) -> Location:
    """The place of the key that an unknown one is nearest to: a misspelt key is not missing too."""
    name = closest(str(location[-1]), _field_names(location[:-1]))
    return (*location[:-1], name or "")


def _existing(location: Location, tree: Any, kind: str) -> Location:
    """`location` without what pydantic adds to it, such as the arm of a union."""
    node: Any = tree
    kept: list[str | int] = []
    for index, part in enumerate(location):
        if _has(node, part):
            node = node[part]
        elif kind == "missing" and index == len(location) - 1:
            pass
        else:
            break
        kept.append(part)
    return tuple(kept)


def _has(node: Any, part: str | int) -> bool:
    if isinstance(node, list):
        return isinstance(part, int) and part < len(node)
    return isinstance(node, dict) and part in node


def _explain(entry: dict[str, Any], location: Location) -> str:
    kind, context = entry["type"], entry.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind == "refused":
        return context["message"]
    if kind == "extra_forbidden":
        return _unknown(str(location[-1]), _field_names(location[:-1]))
    if kind == "missing":
        return "is missing" + _described(location)
    value = entry.get("input")
    if kind == "literal_error":
        allowed = [word.strip(" '") for word in context["expected"].replace(" or ", ", ").split(",")]
        meant = nearest(value, allowed) if isinstance(value, str) else ""
        return f"{_short(value)} is not one of {', '.join(allowed)}{meant}"
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        return f"must be a mapping{_keys_of(location)}, but is {_short(value)}"
    if kind == "list_type":
        return f"must be a list (begin each entry with '- '), but is {_short(value)}"
    limit = next((context[key] for key in ("gt", "ge", "lt", "le") if key in context), None)
    limit = f"{limit:g}" if isinstance(limit, float) else limit
    expected = {
        "float_type": "must be a number",
        "int_type": "must be a whole number",
        "int_from_float": "must be a whole number",
        "bool_type": "must be true or false",
        "invalid_key": "must have text as a key (quote it)",
        "string_type": "must be text (quote it where YAML reads it as a number or date)",
        "greater_than": f"must be greater than {limit}",
        "greater_than_equal": f"must be at least {limit}",
        "less_than": f"must be less than {limit}",
        "less_than_equal": f"must be at most {limit}",
        "too_short": "must not be empty",
        "string_too_short": "must not be empty",
    }.get(kind, entry["msg"])
    return f"{expected}, but is {_short(value)}"


def _short(value: Any) -> str:
    if value is None:
        return "empty"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _unknown(name: str, known: list[str]) -> str:
    if name in known:
        return "is not allowed here"
    meant = nearest(name, known)
    return f"unknown key{meant + ' Known' if meant else '; known'} here: {', '.join(known)}"


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: "; did you mean 'x'?", or nothing."""
    match = closest(name, known)
    return f"; did you mean {match!r}?" if match else ""


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name that an unknown one is likely to mean."""
    lower = {k.lower(): k for k in known}
    matches = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.5)
    return lower[matches[0]] if matches else None


def _described(location: Location) -> str:
    model = _model_at(location[:-1])
    field = _field(model, str(location[-1])) if model else None
    if field is None:
        return ""
    if field.description:
        return f": {field.description}"
    inner = _model_at(location)
    return f": {(inner.__doc__ or '').splitlines()[0]}" if inner else ""


def _keys_of(location: Location) -> str:
    names = _field_names(location)
    return f" with keys of {', '.join(names)}" if names else ""


def _field_names(location: Location) -> list[str]:
    model = _model_at(location)
    if model is None or issubclass(model, RootModel):
        return []
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_at(location: Location) -> type[BaseModel] | None:
    """The pydantic model that validates the value at `location`."""
    kind: Any = Config
    for part in location:
        kind = _arm(_unwrap(kind), part)
        if isinstance(kind, type) and issubclass(kind, RootModel):
            kind = _unwrap(kind.model_fields["root"].annotation)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            field = _field(kind, str(part))
            if field is None:
                return None
            kind = field.annotation
        elif typing.get_origin(kind) in (dict, list):
            kind = typing.get_args(kind)[-1]
        else:
            return None
    kind = _arm(_unwrap(kind), "")
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind
    return None


def _field(kind: type[BaseModel], key: str) -> Any:
    """A model's field by its key in the file, which is no name that Python could take where it has an alias."""
    fields = kind.model_fields
    return next((field for name, field in fields.items() if (field.alias or name) == key), None)


def _arm(kind: Any, part: str | int) -> Any:
    """Of a union, what a key or an index leads into: a list for an index, else the first other arm."""
    if typing.get_origin(kind) not in (typing.Union, types.UnionType):
        return kind
    arms = [_unwrap(arm) for arm in typing.get_args(kind)]
    fitting = [arm for arm in arms if (typing.get_origin(arm) is list) == isinstance(part, int)]
    return fitting[0] if fitting else kind


def _unwrap(kind: Any) -> Any:
    """`X` of `Annotated[X, …]` and of `X | None`."""
    if typing.get_origin(kind) is typing.Annotated:
        return _unwrap(typing.get_args(kind)[0])
    if type(None) in typing.get_args(kind):
        return _unwrap(next(a for a in typing.get_args(kind) if a is not type(None)))
    return kind
