"""YAML text of a config, read within bounds: a file from a stranger is answered in a moment, whatever it has in it.

The events come from libyaml. Reading them here, and not through a library's constructor, keeps every value's line,
stops at the first node too many, and never resolves a tag to anything but the plain values of YAML 1.2.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import yaml
from yaml import events

from pipeline.base.texts import excerpt

Key = str | int | float | bool
Path = tuple[str | int, ...]

MOST_BYTES = 1_000_000
MOST_NODES = 20_000
DEEPEST = 50

_Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# YAML 1.2, 10.3.2; digits may be grouped with underscores.
_NULL = re.compile(r"~|null|Null|NULL|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?(?:0b[01_]+|0o?[0-7_]+|[0-9][0-9_]*|0x[0-9a-fA-F_]+)")
_FLOAT = re.compile(
    r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*|[0-9][0-9_]*(?=[eE]))(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_DATE = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9:.Z+ -]+"
)
_NOT_YAML = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LONGEST_NUMBER = 100  # characters: 64 bits in base 2, with underscores
_CORE = "tag:yaml.org,2002:"


class Mapping(dict[Any, Any]):
    """A mapping that knows the line of each key, from 1; a key that was merged (`<<`) has none."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[Any, int] = {}


class Sequence(list[Any]):
    """A list that knows the line of each item, from 1."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[int] = []


@dataclass(frozen=True)
class Unusable:
    """A value that a config cannot hold; it is a problem only if nothing replaces it.

    Attributes:
        text: As it is written.
        why: What is wrong with it, and what to write.
    """

    text: str
    why: str

    def __repr__(self) -> str:
        return repr(self.text)


class TextError(Exception):
    """Text that is not one YAML document within the bounds.

    Attributes:
        line: Where, from 1; None if no line is at fault.
        path: Keys and indices that lead there, if it is inside of a value.
    """

    def __init__(self, message: str, line: int | None = None, path: Path = ()):
        super().__init__(message)
        self.line = line
        self.path = path


class _Mark(Protocol):
    line: int


@dataclass
class _Open:
    """A mapping or list whose end was not read yet."""

    node: Mapping | Sequence
    value: Any
    line: int
    anchor: str | None
    key: Any = None
    has_key: bool = False
    merged: list[Mapping] = field(default_factory=list)


def parse(text: str) -> Any:
    """The one document of a text: `Mapping`, `Sequence`, plain scalars and `Unusable`; None if it is empty.

    Values that aliases repeat are the same object, so code that walks the tree has to count the nodes.

    Raises:
        TextError: If it is not YAML, or is larger or deeper than a config may be.
    """
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MOST_BYTES:
        raise TextError(
            f"has {size:,} bytes; a config may have {MOST_BYTES:,}, so move data to a file beside it"
        )
    if odd := _NOT_YAML.search(text):
        line = text.count("\n", 0, odd.start()) + 1
        raise TextError(f"is not YAML: unacceptable character #x{ord(odd[0]):04x}", line)
    reading = _Reading()
    try:
        return reading.document(yaml.parse(text, Loader=_Loader))
    except yaml.MarkedYAMLError as error:
        mark: _Mark | None = error.problem_mark or error.context_mark
        at = mark.line + 1 if mark else None
        what = excerpt(str(error.problem or error.context))
        if "maximum nesting" in what:  # newer versions of libyaml look ahead and count, too
            raise reading.too_deep(at) from None
        raise TextError(f"is not YAML: {what}", at) from None
    except yaml.YAMLError as error:
        raise TextError(f"is not YAML: {excerpt(' '.join(str(error).split()))}") from None


class _Reading:
    """Turns events into a tree; not recursive, as the depth is the file's choice."""

    def __init__(self) -> None:
        self._open: list[_Open] = []
        self._anchors: dict[str, Any] = {}
        self._nodes = 0
        self._root: Any = None

    def document(self, found: Iterator[events.Event]) -> Any:
        begun = False
        for event in found:
            line = event.start_mark.line + 1
            if isinstance(event, events.DocumentStartEvent):
                if begun:
                    raise TextError("is not YAML: found another document; write one config in a file", line)
                begun = True
                if event.version not in (None, (1, 2)):
                    raise TextError("a config is YAML 1.2; remove the %YAML directive", line)
            elif isinstance(event, events.MappingStartEvent | events.SequenceStartEvent):
                self._begin(event, line)
            elif isinstance(event, events.MappingEndEvent | events.SequenceEndEvent):
                self._end()
            elif isinstance(event, events.ScalarEvent):
                self._count(line)
                value = _scalar(event)
                self._anchor(event.anchor, value)
                self._add(value, line, event)
            elif isinstance(event, events.AliasEvent):
                self._count(line)
                if event.anchor not in self._anchors:
                    raise TextError(
                        f"is not YAML: found undefined alias {excerpt(repr(event.anchor))}", line
                    )
                self._add(self._anchors[event.anchor], line)
        return self._root

    def _path(self) -> Path:
        """Location of the innermost open mapping or list."""
        return tuple(
            len(parent.node) if isinstance(parent.node, Sequence) else parent.key
            for parent in self._open[:-1]
        )

    def _count(self, line: int, more: int = 1) -> None:
        self._nodes += more
        if self._nodes > MOST_NODES:
            raise TextError(
                f"has more than {MOST_NODES:,} values; move data to a file beside it", line, self._path()
            )

    def too_deep(self, line: int | None) -> TextError:
        """The error about what is read now."""
        return TextError(f"is nested deeper than {DEEPEST} levels", line, self._path()[:DEEPEST])

    def _begin(self, event: events.CollectionStartEvent, line: int) -> None:
        self._count(line)
        inside = self._open[-1] if self._open else None
        if inside and isinstance(inside.node, Mapping) and not inside.has_key:
            raise TextError("a key must be text, not a mapping or list", line, self._path())
        node = Mapping() if isinstance(event, events.MappingStartEvent) else Sequence()
        plain = f"{_CORE}{'map' if isinstance(node, Mapping) else 'seq'}"
        value = node if event.tag in (None, "!", plain) else Unusable(event.tag, _TAG.format(event.tag))
        # Until its end is read, an alias to it would make it hold itself.
        self._anchor(event.anchor, Unusable(f"*{event.anchor}", "refers to itself; write the value out"))
        self._open.append(_Open(node, value, line, event.anchor))
        if len(self._open) > DEEPEST:
            raise self.too_deep(line)

    def _end(self) -> None:
        done = self._open.pop()
        for merged in done.merged:
            for key, value in merged.items():
                done.node.setdefault(key, value)  # type: ignore[union-attr]  # only mappings merge
        self._anchor(done.anchor, done.value)
        self._add(done.value, done.line)

    def _anchor(self, anchor: str | None, value: Any) -> None:
        if anchor is not None:
            self._anchors[anchor] = value

    def _add(self, value: Any, line: int, event: events.ScalarEvent | None = None) -> None:
        if not self._open:
            self._root = value
            return
        inside = self._open[-1]
        if isinstance(inside.node, Sequence):
            inside.node.append(value)
            inside.node.lines.append(line)
        elif inside.has_key:
            inside.has_key = False
            if inside.key is _MERGE:
                self._merge(inside, value)
            else:
                inside.node[inside.key] = value
        else:
            merge = event is not None and event.implicit[0] and event.value == "<<"
            inside.key = _MERGE if merge else self._key(inside.node, value, line)
            inside.has_key = True
            if not merge:
                inside.node.lines[inside.key] = line

    def _key(self, node: Mapping, value: Any, line: int) -> Key:
        if isinstance(value, dict | list):
            raise TextError("a key must be text, not a mapping or list", line, self._path())
        if not isinstance(value, str | int | float) or value != value:
            what = "an empty key" if value is None else f"the key {excerpt(repr(value))}"
            raise TextError(f"{what} is not text; quote it", line, self._path())
        if value in node:
            raise TextError(
                f"key {excerpt(repr(value))} is in this mapping twice; remove or rename one", line
            )
        return value

    def _merge(self, inside: _Open, value: Any) -> None:
        sources = value if isinstance(value, Sequence) else [value]
        if not all(isinstance(source, Mapping) for source in sources):
            raise TextError("<< must name a mapping, or a list of mappings", inside.line, self._path())
        for source in sources:
            self._count(inside.line, len(source))
            inside.merged.append(source)


class _Merge:
    """The key `<<`."""

    def __repr__(self) -> str:
        return "<<"


_MERGE = _Merge()
_TAG = "tag {} is a kind of value that a config cannot hold; remove it"


def _scalar(event: events.ScalarEvent) -> Any:
    text: str = event.value
    tag = event.tag
    if tag in (None, "!"):
        return _plain(text) if event.implicit[0] and tag is None else text
    if tag == f"{_CORE}str":
        return text
    value = _plain(text)
    kind = {type(None): "null", bool: "bool", int: "int", float: "float"}.get(type(value))
    if kind is not None and tag == f"{_CORE}{kind}":
        return value
    if tag == f"{_CORE}float" and kind == "int":
        return float(value)
    return Unusable(text, f"{excerpt(repr(text))} is a kind of value that a config cannot hold; quote it")


def _plain(text: str) -> Any:
    """The value of a scalar without quotes in YAML 1.2."""
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text.lower() == "true"
    if _INT.fullmatch(text):
        return _whole_number(text)
    if _FLOAT.fullmatch(text):
        if len(text) > _LONGEST_NUMBER:
            return Unusable(
                text, f"{excerpt(repr(text))} is a number of {len(text):,} characters; round or quote it"
            )
        return float(text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))
    if _DATE.fullmatch(text):
        return Unusable(text, f"{excerpt(repr(_date(text)))} is a date that a config cannot hold; quote it")
    return text


def _whole_number(text: str) -> int | Unusable:
    digits = text.replace("_", "").lower()
    if len(text) <= _LONGEST_NUMBER:
        base = {"0b": 2, "0o": 8, "0x": 16}.get(digits.lstrip("+-")[:2], 10)
        try:
            value = int(digits, base)
        except ValueError:  # 0x_: a prefix and no digit
            return Unusable(text, f"{text!r} is not a number; quote it if it is text")
        if -(2**63) <= value < 2**63:
            return value
    return Unusable(
        text,
        f"{excerpt(repr(text))} is a whole number of more than 64 bits; write a smaller one or quote it",
    )


def _date(text: str) -> str:
    """A date as ISO 8601 writes it, if there is such a day."""
    try:
        return datetime.date(*map(int, text.split("-"))).isoformat()
    except ValueError:
        return text
