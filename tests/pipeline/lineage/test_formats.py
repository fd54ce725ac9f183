"""Lineage as JSON, DOT and Mermaid."""

from __future__ import annotations

import dataclasses
import json
import math
import re

import pytest
from google.protobuf import struct_pb2

from pipeline.lineage import formats as lineage_formats
from pipeline.lineage.graph import Artifact, Graph
from pipeline.lineage.target import Note
from tests.pipeline.lineage_example import Example, example

# Quotes, markup, syntax of both languages, a line break, an escape, other scripts.
EVIL = 'a"b\\n<c>|{d}&amp;#35;;`e`\nf\x1b[0m %%{x}%% 画像 é --> end'

_QUOTED = r'"(?:[^"\\\n]|\\.)*"'
_DOT = [
    re.compile(r"digraph lineage \{|\}"),
    re.compile(r"  rankdir=LR;"),
    re.compile(rf"  (?:node|edge) \[fontname={_QUOTED}, fontsize=\d+\];"),
    re.compile(
        rf"  (?P<node>[ae]\d+) \[shape=(?:box|ellipse)(?:, (?:style|color)={_QUOTED})*, label=(?P<label>{_QUOTED})\];"
    ),
    re.compile(rf"  (?P<begin>[ae]\d+) -> (?P<end>[ae]\d+) \[label={_QUOTED}\];"),
]
_PLAIN = r'"[^"\n`]*"'
_MERMAID = [
    re.compile(r"flowchart LR"),
    re.compile(rf"  (?P<node>a\d+)\[(?P<label>{_PLAIN})\]"),
    re.compile(rf"  (?P<node>e\d+)\(\[(?P<label>{_PLAIN})\]\)"),
    re.compile(rf"  (?P<begin>[ae]\d+) -- {_PLAIN} --> (?P<end>[ae]\d+)"),
    re.compile(r"  classDef \w+ [\w#:. -]+"),
    re.compile(r"  class [ae]\d+(?:,[ae]\d+)* \w+"),
]


def parse(text: str, grammar: list[re.Pattern[str]]) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Nodes with their labels, and arrows; every line has to be one of the grammar."""
    nodes: dict[str, str] = {}
    arrows: list[tuple[str, str]] = []
    for line in text.splitlines():
        matches = [match for rule in grammar if (match := rule.fullmatch(line))]
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
    execution = dataclasses.replace(found.graph.executions[14], node=EVIL, state="failed")
    return dataclasses.replace(
        found.graph,
        artifacts={**found.graph.artifacts, root: artifact},
        executions={**found.graph.executions, 14: execution},
    )


def test_json_round_trips(found: Example, evil: Graph) -> None:
    for graph in (found.graph, evil):
        text = lineage_formats.to_json(graph, [found.run], found.documents)
        assert lineage_formats.from_json(text) == graph


def test_json_has_what_its_description_says(found: Example) -> None:
    notes = [Note("tampered", "tflite is not what was pushed")]
    content = json.loads(lineage_formats.to_json(found.graph, [found.run], found.documents, notes))
    assert list(content) == [
        "version", "roots", "artifacts", "executions", "edges", "runs", "documents", "notes",
    ]  # fmt: skip
    assert content["roots"] == [18]
    assert [artifact["id"] for artifact in content["artifacts"]] == list(range(1, 19))
    assert set(content["artifacts"][0]) == {"id", "type", "uri", "live", "properties"}
    assert set(content["executions"][0]) == {
        "id", "type", "node", "pipeline", "runs", "state", "properties", "started", "finished",
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
    assert lineage_formats.to_dot(graph) == lineage_formats.to_dot(found.graph)
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


def test_json_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="version 7, version 1 can be read; write it again"):
        lineage_formats.from_json('{"version": 7}')


def test_dot_has_every_node_and_arrow(found: Example) -> None:
    nodes, arrows = parse(lineage_formats.to_dot(found.graph), _DOT)
    assert len(nodes) == 18 + 14
    assert len(arrows) == len(found.graph.edges) and set(arrows) == expected_arrows(found.graph)
    assert nodes["a18"] == '"PushedModel 18\\n/serving/mnist/1795352218"'
    assert nodes["e7"] == '"prune-a4a3d3\\nPruner"'
    assert nodes["a13"] == '"ModelEvaluation 13\\ndid not pass"'


def test_mermaid_has_every_node_and_arrow(found: Example) -> None:
    text = lineage_formats.to_mermaid(found.graph)
    nodes, arrows = parse(text, _MERMAID)
    assert len(nodes) == 18 + 14
    assert len(arrows) == len(found.graph.edges) and set(arrows) == expected_arrows(found.graph)
    assert nodes["a18"] == '"PushedModel 18<br/>/serving/mnist/1795352218"'
    assert "  class a18 root" in text


def test_labels_are_escaped_in_dot(evil: Graph) -> None:
    nodes, arrows = parse(lineage_formats.to_dot(evil), _DOT)
    assert len(nodes) == 18 + 14 and len(arrows) == len(evil.edges)
    lines = nodes["a18"][1:-1].split("\\n")  # an escaped backslash before n would end up as three lines
    assert lines[0] == "PushedModel 18"
    assert nodes["a18"] == (
        '"PushedModel 18\\n'
        'a\\"b\\\\n<c>|{d}&amp;amp;#35;;`e` f [0m %%{x}%% 画像 é --> end'
        '\\npassed\\nfiles are gone"'
    )
    assert ', color="red", label="a\\"b' in lineage_formats.to_dot(evil)


def test_labels_are_escaped_in_mermaid(evil: Graph) -> None:
    text = lineage_formats.to_mermaid(evil)
    nodes, arrows = parse(text, _MERMAID)
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
    for text, grammar in (
        (lineage_formats.to_dot(found.graph, notes), _DOT),
        (lineage_formats.to_mermaid(found.graph, notes), _MERMAID),
    ):
        nodes, _ = parse(text, grammar)
        assert [name for name, label in nodes.items() if "not what was pushed" in label] == ["a18"]


def test_an_empty_graph_is_valid_in_every_format() -> None:
    empty = Graph((), {}, {}, ())
    assert lineage_formats.from_json(lineage_formats.to_json(empty)) == empty
    assert parse(lineage_formats.to_dot(empty), _DOT) == ({}, [])
    assert parse(lineage_formats.to_mermaid(empty), _MERMAID) == ({}, [])
