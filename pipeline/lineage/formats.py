"""Lineage for programs: JSON, and graphs for Graphviz and Mermaid."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pipeline.lineage.facts import plain

if TYPE_CHECKING:
    from pipeline.lineage.graph import Artifact, Execution, Graph
    from pipeline.lineage.target import Note
    from pipeline.store.runs import Run

# Changes where a key is taken away or gets another meaning.
FORMAT_VERSION = 1


def to_json(
    graph: Graph,
    runs: Iterable[Run] = (),
    documents: Mapping[str, Mapping[str, Any]] | None = None,
    notes: Iterable[Note] = (),
) -> str:
    """The graph as JSON, indented by two, in one order for one content.

        {
          "version": 1,
          "roots":      [artifact id, …]              as they were asked for
          "artifacts":  [{"id", "type", "uri", "live", "properties"}, …]              by id
          "executions": [{"id", "type", "node", "pipeline", "runs": [run id, …], "state",
                          "properties", "started", "finished"}, …]                    by id
          "edges":      [{"execution", "artifact", "key", "output"}, …]               sorted
          "runs":       [a pipeline.store.runs.Run, field by field, …]                      by id
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


def from_json(text: str) -> Graph:
    """The graph of what `to_json` wrote.

    Raises:
        ValueError: Where it is of another version.
    """
    from pipeline.lineage.graph import Artifact, Edge, Execution, Graph

    content = json.loads(text)
    if content.get("version") != FORMAT_VERSION:
        raise ValueError(
            f"this lineage is of version {content.get('version')}, version {FORMAT_VERSION} can be read; "
            "write it again with `paredown lineage --format json`"
        )
    executions = [
        Execution(
            **{
                **found,
                "runs": tuple(found["runs"]),
                "started": _time(found["started"]),
                "finished": _time(found["finished"]),
            }
        )
        for found in content["executions"]
    ]
    return Graph(
        roots=tuple(content["roots"]),
        artifacts={found["id"]: Artifact(**found) for found in content["artifacts"]},
        executions={execution.id: execution for execution in executions},
        edges=tuple(Edge(**found) for found in content["edges"]),
    )


def _time(text: str | None) -> Any:
    return datetime.fromisoformat(text) if text else None


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


def to_dot(graph: Graph, notes: Iterable[Note] = ()) -> str:
    """The graph in Graphviz' DOT language: artifacts as boxes, executions as ellipses.

    https://graphviz.org/doc/info/lang.html

    Args:
        graph: What to draw.
        notes: What was found out about the roots; added to their labels.
    """
    found = [note.text for note in notes]
    lines = [
        "digraph lineage {",
        "  rankdir=LR;",
        '  node [fontname="Helvetica", fontsize=10];',
        '  edge [fontname="Helvetica", fontsize=8];',
    ]
    for number, artifact in sorted(graph.artifacts.items()):
        style = _joined(
            "bold" if number in graph.roots else "",
            "" if artifact.live else "dashed",
        )
        styled = f', style="{style}"' if style else ""
        label = _dot_text(artifact_label(artifact, found if number in graph.roots else ()))
        lines.append(f"  a{number} [shape=box{styled}, label={label}];")
    for number, execution in sorted(graph.executions.items()):
        failed = ', color="red"' if execution.state == "failed" else ""
        lines.append(f"  e{number} [shape=ellipse{failed}, label={_dot_text(execution_label(execution))}];")
    for begin, end, key in _arrows(graph):
        lines.append(f"  {begin} -> {end} [label={_dot_text([key])}];")
    return "\n".join([*lines, "}"]) + "\n"


def to_mermaid(graph: Graph, notes: Iterable[Note] = ()) -> str:
    """The graph as a Mermaid flowchart: artifacts as boxes, executions with round ends.

    https://mermaid.js.org/syntax/flowchart.html. By default Mermaid draws up to 500 edges; DOT has no
    such limit.

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
    failed = [f"e{n}" for n, execution in sorted(graph.executions.items()) if execution.state == "failed"]
    for name, style, members in (
        ("root", "stroke-width:3px", roots),
        ("gone", "stroke-dasharray:4 3", gone),
        ("failed", "stroke:#c00", failed),
    ):
        if members:
            lines += [f"  classDef {name} {style}", f"  class {','.join(members)} {name}"]
    return "\n".join(lines) + "\n"


def artifact_label(artifact: Artifact, notes: Iterable[str] = ()) -> list[str]:
    """What tells an artifact from others of its type, in a few lines."""
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
    if execution.state != "complete":
        lines.append(execution.state)
    return lines


def _joined(*words: str) -> str:
    return ",".join(word for word in words if word)


def _arrows(graph: Graph) -> list[tuple[str, str, str]]:
    """Begin, end and key of each edge, in the direction in which data flow."""
    arrows = []
    for edge in sorted(graph.edges):
        ends = f"e{edge.execution}", f"a{edge.artifact}"
        arrows.append((*(ends if edge.output else ends[::-1]), edge.key))
    return arrows


def _dot_text(lines: Iterable[str]) -> str:
    """A quoted string of DOT; lines are centred below each other."""
    return '"' + "\\n".join(_one_line(line, _dot_character) for line in lines) + '"'


def _dot_character(character: str) -> str:
    # Graphviz reads &name; as an entity in plain labels, too.
    return {'"': '\\"', "\\": "\\\\", "&": "&amp;"}.get(character, character)


def _mermaid_text(lines: Iterable[str]) -> str:
    """A quoted text of Mermaid, in which entity codes stand for all that it might read as syntax."""
    return '"' + "<br/>".join(_one_line(line, _mermaid_character) for line in lines) + '"'


def _mermaid_character(character: str) -> str:
    if character.isalnum() or character in " .,/-+():=_":
        return character
    return f"#{ord(character)};"


def _one_line(text: str, escape: Callable[[str], str]) -> str:
    """A text without line breaks and control characters, each character escaped."""
    return "".join(escape(c if c.isprintable() else " ") for c in text)
