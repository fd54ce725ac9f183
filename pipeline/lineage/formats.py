"""Lineage for programs: JSON, and a Mermaid flowchart."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pipeline.lineage.facts import plain
from pipeline.lineage.graph import Graph
from pipeline.store.records import Artifact, Execution, Run
from pipeline.store.state import State

if TYPE_CHECKING:
    from pipeline.lineage.target import Note

# Changes if a key is removed or its meaning changes. Version 1 had ML Metadata's words for states.
FORMAT_VERSION = 2


def to_json(
    graph: Graph,
    runs: Iterable[Run] = (),
    documents: Mapping[str, Mapping[str, Any]] | None = None,
    notes: Iterable[Note] = (),
) -> str:
    """The graph as JSON, indented by two, in one order for one content.

        {
          "version": 2,
          "roots":      [artifact id, …]              as they were asked for
          "artifacts":  [{"id", "type", "uri", "live", "properties", "deleted"}, …]   by id
          "executions": [{"id", "type", "node", "pipeline", "runs": [run id, …], "state",
                          "properties", "started", "finished", "component"}, …]       by id
          "edges":      [{"execution", "artifact", "key", "output"}, …]               sorted
          "runs":       [a pipeline.store.records.Run, field by field, …]                   by id
          "documents":  {SHA-256: config, environment or data of a run, …}
          "notes":      [{"kind": "ok" | "warning" | "tampered", "text"}, …]          as they were found
        }

    Times are ISO 8601 with their offset from UTC, or null. Properties are as ML Metadata has them: those
    that hold JSON are texts; protobuf messages are objects; NaN and infinities are texts.

    Args:
        graph: What to write.
        runs: That the graph's executions belong to.
        documents: SHA-256 → document, of those runs.
        notes: What was found out about the roots now, e.g. that a file is not what was pushed.
    """
    content = {
        "version": FORMAT_VERSION,
        "roots": list(graph.roots),
        "artifacts": [_fields(artifact) for _, artifact in sorted(graph.artifacts.items())],
        "executions": [_fields(execution) for _, execution in sorted(graph.executions.items())],
        "edges": [_fields(edge) for edge in sorted(graph.edges)],
        "runs": [_fields(run) for run in sorted(runs, key=lambda run: run.id)],
        "documents": {digest: plain(found) for digest, found in sorted((documents or {}).items())},
        "notes": [_fields(note) for note in notes],
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: _field(getattr(value, field.name)) for field in dataclasses.fields(value)}


def _field(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if dataclasses.is_dataclass(value):
        return _fields(value)
    if isinstance(value, Mapping):
        return {str(key): _field(item) for key, item in sorted(value.items())}
    return plain(value)


def to_mermaid(graph: Graph, notes: Iterable[Note] = ()) -> str:
    """The graph as a Mermaid flowchart: artifacts as boxes, executions with round ends.

    https://mermaid.js.org/syntax/flowchart.html. By default Mermaid draws up to 500 edges.

    Args:
        graph: What to draw.
        notes: What was found out about the roots; added to their labels.
    """
    found = [note.text for note in notes]
    lines = ["flowchart LR"]
    for number, artifact in sorted(graph.artifacts.items()):
        label = _mermaid_text(artifact_label(artifact, found if number in graph.roots else ()))
        lines.append(f"  a{number}[{label}]")
    for number, execution in sorted(graph.executions.items()):
        lines.append(f"  e{number}([{_mermaid_text(execution_label(execution))}])")
    lines += [f"  {begin} -- {_mermaid_text([key])} --> {end}" for begin, end, key in _arrows(graph)]
    gone = [f"a{number}" for number, artifact in sorted(graph.artifacts.items()) if not artifact.live]
    roots = [f"a{number}" for number in sorted(set(graph.roots))]
    failed = [
        f"e{n}" for n, execution in sorted(graph.executions.items()) if execution.state is State.FAILED
    ]
    for name, style, members in (
        ("root", "stroke-width:3px", roots),
        ("gone", "stroke-dasharray:4 3", gone),
        ("failed", "stroke:#c00", failed),
    ):
        if members:
            lines += [f"  classDef {name} {style}", f"  class {','.join(members)} {name}"]
    return "\n".join(lines) + "\n"


def artifact_label(artifact: Artifact, notes: Iterable[str] = ()) -> list[str]:
    """The facts that distinguish an artifact from others of its type, in a few lines."""
    properties = artifact.properties
    lines = [f"{artifact.type} {artifact.id}"]
    for name in ("pushed_destination", "candidate", "winner", "technique"):
        if properties.get(name):
            lines.append(str(properties[name]))
    if "blessed" in properties and isinstance(properties["blessed"], int):
        lines.append("passed" if properties["blessed"] == 1 else "did not pass")
    if "bytes" in properties:
        lines.append(f"{properties['bytes']:,} bytes")
    if not artifact.live:
        lines.append("files are gone")
    return [*lines, *notes]


def execution_label(execution: Execution) -> list[str]:
    """Node, component and state of an execution."""
    lines = [execution.node or execution.type]
    if execution.type != execution.node:
        lines.append(execution.type)
    if execution.state is not State.RAN:
        lines.append(execution.state)
    return lines


def _arrows(graph: Graph) -> list[tuple[str, str, str]]:
    """Begin, end and key of each edge, in the direction in which data flow."""
    arrows = []
    for edge in sorted(graph.edges):
        ends = f"e{edge.execution}", f"a{edge.artifact}"
        arrows.append((*(ends if edge.output else ends[::-1]), edge.key))
    return arrows


def _mermaid_text(lines: Iterable[str]) -> str:
    """A quoted text of Mermaid, with entity codes for everything that Mermaid could read as syntax."""
    return '"' + "<br/>".join(_one_line(line, _mermaid_character) for line in lines) + '"'


def _mermaid_character(character: str) -> str:
    if character.isalnum() or character in " .,/-+():=_":
        return character
    return f"#{ord(character)};"


def _one_line(text: str, escape: Callable[[str], str]) -> str:
    """A text without line breaks and control characters, each character escaped."""
    return "".join(escape(c if c.isprintable() else " ") for c in text)
