"""The option reference: every key of a config, from the descriptions in its JSON Schema, as Markdown."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from pipeline.config import schema

_HEAD = """# Option reference

Every key of a config. `paredown schema --markdown` writes this page, and `paredown schema` the JSON Schema that it is
made from. A key without a default is required; a section may be left out if all of its keys have defaults.
"""
_BOUNDS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
}
_TYPES = {
    "string": "text",
    "integer": "integer",
    "number": "number",
    "boolean": "true or false",
    "null": "null",
    "object": "mapping",
}

_Schema = dict[str, Any]


def markdown() -> str:
    """The whole page."""
    return _Reference(schema.whole()).page()


class _Reference:
    """Sections in the order in which keys name them; one that several keys take is written once."""

    def __init__(self, whole: _Schema):
        self._whole = whole
        self._defs: dict[str, _Schema] = whole["$defs"]
        sections = [whole, *self._defs.values()]
        self._parents = Counter(name for section in sections for name in set(_references(section)))
        self._titles: dict[str, str] = {}

    def page(self) -> str:
        self._name(self._whole, "")
        parts = [_HEAD, self._table(self._whole)]
        for name, title in self._titles.items():
            section = self._defs[name]
            text = " ".join(section.get("description", "").split("\n\n")[0].split())
            parts.append(f"## {title}\n\n{_plain(text)}\n\n{self._table(section)}")
        return "\n".join(part.rstrip() + "\n" for part in parts)

    def _name(self, section: _Schema, path: str) -> None:
        """Gives titles to the sections that a section's keys take, and to those below them."""
        for key, value in section.get("properties", {}).items():
            for name in _references(value):
                self._enter(name, f"{path}.{key}".lstrip("."), key)

    def _enter(self, name: str, path: str, key: str) -> None:
        if name in self._titles:
            return
        section = self._defs[name]
        if "properties" in section:
            steps = name == "Step"
            if not steps:
                title = key if self._parents[name] > 1 or path.startswith("step.") else path
                title = path if title in self._titles.values() else title
                kind = section["properties"].get("kind", {}).get("const")
                self._titles[name] = f"{title}.{kind}" if kind else title
            self._name(section, "step" if steps else path)
        for inner in _references({k: v for k, v in section.items() if k != "properties"}):
            self._enter(inner, path, key)

    def _table(self, section: _Schema) -> str:
        rows = ["| key | value | default | |", "|---|---|---|---|"]
        required = section.get("required", ())
        for key, value in section.get("properties", {}).items():
            default = "" if key in required else _default(value)
            rows.append(
                f"| `{key}` | {self._value(value)} | {default} | {_plain(value.get('description', ''))} |"
            )
        return "\n".join(rows)

    def _value(self, value: _Schema) -> str:
        """A text for the allowed values."""
        if "$ref" in value:
            return self._section(value["$ref"].rpartition("/")[2])
        alternatives = value.get("anyOf") or value.get("oneOf")
        if alternatives:
            found = [self._value(arm) for arm in alternatives if arm.get("type") != "null"]
            return " or ".join(dict.fromkeys(found))
        if "enum" in value or "const" in value:
            return ", ".join(f"`{one}`" for one in value.get("enum", [value.get("const")]))
        kind = value.get("type")
        if kind == "array":
            return f"list of {self._value(value['items'])}" if value.get("items") else "list"
        if kind == "object" and isinstance(value.get("additionalProperties"), dict):
            return f"mapping of names to {self._value(value['additionalProperties'])}"
        bounds = [text.format(value[name]) for name, text in _BOUNDS.items() if name in value]
        return " ".join([_TYPES.get(kind or "", "anything"), ", ".join(bounds)]).strip()

    def _section(self, name: str) -> str:
        section = self._defs[name]
        if name in self._titles:
            title = self._titles[name]
            return f"[{title}](#{re.sub(r'[^a-z0-9_-]', '', title.lower())})"
        if "properties" in section:  # a step
            return "one of " + ", ".join(self._value(arm) for arm in section["properties"].values())
        return self._value(section)


def _references(value: object) -> Iterator[str]:
    """Names of the sections that a schema refers to, without those that they refer to."""
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"].rpartition("/")[2]
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def _default(value: _Schema) -> str:
    default = value.get("default")
    if default is None or default == "" or isinstance(default, dict):
        return "–"
    return (
        f"`{json.dumps(default, ensure_ascii=False)}`" if not isinstance(default, str) else f"`{default}`"
    )


def _plain(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
