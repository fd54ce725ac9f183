"""Lineage as JSON and Mermaid."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from datetime import datetime

import pytest
from google.protobuf import struct_pb2

from pipeline.lineage import formats as lineage_formats
from pipeline.lineage.graph import Graph
from pipeline.lineage.target import Note
from pipeline.store.records import Artifact, Edge, Execution
from pipeline.store.state import State
from tests.pipeline.lineage_example import Example, example

# Quotes, markup, syntax of both languages, a line break, an escape, other scripts.
EVIL = 'a"b\\n<c>|{d}&amp;#35;;`e`\nf\x1b[0m %%{x}%% 画像 é --> end'

_PLAIN = r'"[^"\n`]*"'
_MERMAID = [
    re.compile(r"flowchart LR"),
    re.compile(rf"  (?P<node>a\d+)\[(?P<label>{_PLAIN})\]"),
    re.compile(rf"  (?P<node>e\d+)\(\[(?P<label>{_PLAIN})\]\)"),
    re.compile(rf"  (?P<begin>[ae]\d+) -- {_PLAIN} --> (?P<end>[ae]\d+)"),
    re.compile(r"  classDef \w+ [\w#:. -]+"),
    re.compile(r"  class [ae]\d+(?:,[ae]\d+)* \w+"),
]


def parse(text: str) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Nodes with their labels, and arrows; every line has to be one of _MERMAID."""
    nodes: dict[str, str] = {}
    arrows: list[tuple[str, str]] = []
    for line in text.splitlines():
        matches = [match for rule in _MERMAID if (match := rule.fullmatch(line))]
        assert len(matches) == 1, line
        found = matches[0].groupdict()
        if "node" in found:
            nodes[found["node"]] = found["label"]
        elif "begin" in found:
            arrows.append((found["begin"], found["end"]))
    return nodes, arrows


def expected_arrows(graph: Graph) -> set[tuple[str, str]]:
    return {
        (f"e{edge.execution}", f"a{edge.artifact}")
        if edge.output
        else (f"a{edge.artifact}", f"e{edge.execution}")
        for edge in graph.edges
    }


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Example:
    return example(tmp_path_factory.mktemp("example"))


@pytest.fixture
def evil(found: Example) -> Graph:
    root = found.graph.roots[0]
    artifact = dataclasses.replace(
        found.graph.artifacts[root], properties={"candidate": EVIL, "blessed": 1}, live=False
    )
    execution = dataclasses.replace(found.graph.executions[14], node=EVIL, state=State.FAILED)
    return dataclasses.replace(
        found.graph,
        artifacts={**found.graph.artifacts, root: artifact},
        executions={**found.graph.executions, 14: execution},
    )


def test_json_has_the_whole_graph(found: Example, evil: Graph) -> None:
    for graph in (found.graph, evil):
        content = json.loads(lineage_formats.to_json(graph, [found.run], found.documents))
        assert content["version"] == 2 and tuple(content["roots"]) == graph.roots
        assert {one["id"]: Artifact(**one) for one in content["artifacts"]} == graph.artifacts
        assert [Edge(**one) for one in content["edges"]] == list(graph.edges)
        executions = {}
        for one in content["executions"]:
            times = {name: datetime.fromisoformat(one[name]) for name in ("started", "finished")}
            executions[one["id"]] = Execution(**{**one, **times, "runs": tuple(one["runs"])})
        assert executions == graph.executions


def test_json_has_what_its_description_says(found: Example) -> None:
    notes = [Note("tampered", "tflite is not what was pushed")]
    content = json.loads(lineage_formats.to_json(found.graph, [found.run], found.documents, notes))
    assert list(content) == [
        "version", "roots", "artifacts", "executions", "edges", "runs", "documents", "notes",
    ]  # fmt: skip
    assert content["roots"] == [18]
    assert [artifact["id"] for artifact in content["artifacts"]] == list(range(1, 19))
    assert set(content["artifacts"][0]) == {"id", "type", "uri", "live", "properties", "deleted"}
    assert set(content["executions"][0]) == {
        "id", "type", "node", "pipeline", "runs", "state", "properties", "started", "finished",
        "component",
    }  # fmt: skip
    assert content["executions"][0]["started"] == "2026-11-22T12:46:06.849000+00:00"
    assert content["edges"][0] == {"execution": 1, "artifact": 1, "key": "examples", "output": True}
    assert content["runs"][0]["git_commit"] == found.run.git_commit
    assert content["documents"] == found.documents
    assert content["notes"] == [{"kind": "tampered", "text": "tflite is not what was pushed"}]


def test_json_does_not_depend_on_the_order_in_which_things_were_found(found: Example) -> None:
    graph = dataclasses.replace(
        found.graph,
        artifacts=dict(reversed(found.graph.artifacts.items())),
        executions=dict(reversed(found.graph.executions.items())),
        edges=found.graph.edges[::-1],
    )
    documents = dict(reversed(found.documents.items()))
    first = lineage_formats.to_json(found.graph, [found.run], found.documents)
    assert lineage_formats.to_json(graph, [found.run], documents) == first
    assert lineage_formats.to_mermaid(graph) == lineage_formats.to_mermaid(found.graph)


def test_properties_that_json_cannot_hold_are_translated() -> None:
    struct = struct_pb2.Struct()
    struct.update({"eval": 1.0})
    properties = {"rate": struct, "nan": math.nan, "high": math.inf, "text": "画像"}
    graph = Graph((1,), {1: Artifact(1, "Model", "/m", True, properties)}, {}, ())
    text = lineage_formats.to_json(graph)
    assert json.loads(text)["artifacts"][0]["properties"] == {
        "rate": {"eval": 1.0},
        "nan": "nan",
        "high": "inf",
        "text": "画像",
    }
    assert "画像" in text


def test_mermaid_has_every_node_and_arrow(found: Example) -> None:
    text = lineage_formats.to_mermaid(found.graph)
    nodes, arrows = parse(text)
    assert len(nodes) == 18 + 14
    assert len(arrows) == len(found.graph.edges) and set(arrows) == expected_arrows(found.graph)
    assert nodes["a18"] == '"PushedModel 18<br/>/serving/mnist/1795352218"'
    assert "  class a18 root" in text


def test_labels_are_escaped_in_mermaid(evil: Graph) -> None:
    text = lineage_formats.to_mermaid(evil)
    nodes, arrows = parse(text)
    assert len(nodes) == 18 + 14 and len(arrows) == len(evil.edges)
    label = (
        nodes["a18"][1:-1]
        .removeprefix("PushedModel 18<br/>")
        .removesuffix("<br/>passed<br/>files are gone")
    )
    assert not set(label) & set('"<>|{}[]`&\\')
    read = re.sub(r"#(\d+);", lambda match: chr(int(match[1])), label)
    assert read == EVIL.replace("\n", " ").replace("\x1b", " ")
    assert "  class a18 gone" in text and "  class e14 failed" in text


def test_notes_are_part_of_the_roots_label(found: Example) -> None:
    notes = [Note("tampered", "tflite is not what was pushed")]
    nodes, _ = parse(lineage_formats.to_mermaid(found.graph, notes))
    assert [name for name, label in nodes.items() if "not what was pushed" in label] == ["a18"]


def test_an_empty_graph_is_valid_in_every_format() -> None:
    empty = Graph((), {}, {}, ())
    content = json.loads(lineage_formats.to_json(empty))
    assert [content[key] for key in ("roots", "artifacts", "executions", "edges")] == [[], [], [], []]
    assert parse(lineage_formats.to_mermaid(empty)) == ({}, [])
