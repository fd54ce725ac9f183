"""What is known of a run: its config, code, environment, data, nodes and verdicts.

A run of before there were records has no config, environment or data documents; one whose files were
collected has no report. What is not known is None, and is never taken for equal.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.lineage.graph import MARKS
from pipeline.lineage.verdict_file import is_report
from pipeline.plan.node import EXAMPLE_GENS, SELECTOR
from pipeline.store.metadata_store import properties
from pipeline.store.runs import Run, document

REPORT_FILE = "report.json"

REPORT, PROPERTIES = "report", "properties"

# What of a number or of the reasons is left in ML Metadata.
_DECIMALS = 6
_REASON_LENGTH = 500


@dataclass(frozen=True)
class Node:
    """A node as a run had it.

    Attributes:
        component: Last part of TFX's name of its type, e.g. `Pruner`.
        parameters: With JSON texts in them decoded, at every depth.
    """

    component: str
    parameters: dict[str, Any]


@dataclass(frozen=True)
class RunFacts:
    """A run and what it was made of.

    Attributes:
        run: The run.
        config: As resolved.
        environment: Python, platform, CPU, packages.
        data: Split → `{file, bytes, sha256}` of each of its files.
        fingerprint: What TFX recorded of each split's files: their number, bytes and times.
        nodes: Node id → node, of those that were begun.
        candidates: Candidate → figures and verdict, flat; None where none was reached or is left.
        candidates_from: `report`, or `properties` where only those of the evaluations are left.
    """

    run: Run
    config: dict[str, Any] | None
    environment: dict[str, Any] | None
    data: dict[str, list[dict[str, Any]]] | None
    fingerprint: dict[str, dict[str, str]] | None
    nodes: dict[str, Node]
    candidates: dict[str, dict[str, Any]] | None
    candidates_from: str = ""

    @property
    def seed(self) -> int | None:
        """Of the run; where it was not recorded, the one that its nodes were given."""
        if self.run.seed is not None:
            return self.run.seed
        given = {node.parameters["seed"] for node in self.nodes.values() if "seed" in node.parameters}
        return given.pop() if len(given) == 1 else None


def read(store: Any, run: Run) -> RunFacts:
    """Reads what is known of a run.

    Args:
        store: ml_metadata's MetadataStore.
        run: One of its runs.
    """
    executions = dict(_executions(store, run))
    nodes = {
        node: Node(kind.rpartition(".")[2], _parameters(store, execution))
        for node, (kind, execution) in executions.items()
    }
    selector = executions.get(SELECTOR)
    candidates, source = _candidates(store, selector[1]) if selector else (None, "")
    return RunFacts(
        run=run,
        config=document(store, run.config_hash),
        environment=document(store, run.environment_hash),
        data=document(store, run.data_hash),
        fingerprint=_fingerprint(nodes),
        nodes=nodes,
        candidates=candidates,
        candidates_from=source,
    )


def decoded(value: Any) -> Any:
    """A parameter with texts that hold JSON objects or lists decoded, at every depth."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return decoded(json.loads(value))
        except ValueError:
            return value
    if isinstance(value, dict):
        return {key: decoded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [decoded(item) for item in value]
    return value


def _executions(store: Any, run: Run) -> Iterator[tuple[str, tuple[str, Any]]]:
    """Node id → type and the last execution that it had in the run."""
    types = {kind.id: kind.name for kind in store.get_execution_types()}
    recorded = {node.execution: name for name, node in run.nodes.items()}
    executions = sorted(store.get_executions_by_context(run.context_id), key=lambda e: e.id)
    for execution in executions:
        node = recorded.get(execution.id) or _node(store, execution)
        if node:
            yield node, (types[execution.type_id], execution)


def _node(store: Any, execution: Any) -> str:
    """The node of an execution by its contexts; slow in a large store, and asked only of older runs."""
    nodes = store.get_context_type("node").id
    for context in store.get_contexts_by_execution(execution.id):
        if context.type_id == nodes:
            return context.name.rpartition(".")[2]
    return ""


def _parameters(store: Any, execution: Any) -> dict[str, Any]:
    """What a node was given, without what a run's record and TFX write beside it."""
    facts = properties(_with_parameters(store, execution))
    return {
        name: decoded(value)
        for name, value in facts.items()
        if name not in MARKS and not name.startswith("__")
    }


def _with_parameters(store: Any, execution: Any) -> Any:
    """The execution that tells the parameters: of a cached one, that which made its outputs.

    ML Metadata does not hold what a driver adds to the parameters of a cached execution.
    """
    if execution.last_known_state != execution.CACHED:
        return execution
    outputs = {
        event.artifact_id
        for event in store.get_events_by_execution_ids([execution.id])
        if event.type == event.OUTPUT
    }
    events = store.get_events_by_artifact_ids(sorted(outputs)) if outputs else []
    makers = sorted({event.execution_id for event in events if event.type == event.OUTPUT})
    for maker in store.get_executions_by_id(makers) if makers else []:
        if maker.last_known_state == maker.COMPLETE:
            return maker
    return execution


def _fingerprint(nodes: dict[str, Node]) -> dict[str, dict[str, str]] | None:
    readers = [nodes[node] for node in EXAMPLE_GENS.values() if node in nodes]
    text = readers[0].parameters.get("input_fingerprint") if readers else None
    if not text:
        return None
    splits = [dict(part.partition(":")[::2] for part in line.split(",")) for line in str(text).splitlines()]
    return {split.pop("split", ""): split for split in splits}


def _candidates(store: Any, selector: Any) -> tuple[dict[str, dict[str, Any]] | None, str]:
    inputs: dict[str, int] = {}
    reports = []
    for event in store.get_events_by_execution_ids([selector.id]):
        key = event.path.steps[0].key if event.path.steps else ""
        if event.type == event.INPUT:
            inputs[key] = event.artifact_id
        elif key == "report":
            reports.append(event.artifact_id)
    for report in store.get_artifacts_by_id(reports) if reports else []:
        path = Path(report.uri, REPORT_FILE)
        try:
            found_report = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # removed or damaged; what ML Metadata holds is left
            continue
        if is_report(found_report):
            verdicts = found_report["candidates"]
            return {name: _of_verdict(verdict) for name, verdict in verdicts.items()}, REPORT
    if not reports:
        return None, ""
    names = decoded(properties(selector)).get("candidates", [])
    found = {}
    for name in names:
        evaluation = inputs.get(f"evaluation_{name.replace('-', '_')}")
        if evaluation is not None:
            found[name] = _of_properties(properties(store.get_artifacts_by_id([evaluation])[0]))
    return (found, PROPERTIES) if found else (None, "")


def _of_verdict(verdict: dict[str, Any]) -> dict[str, Any]:
    """A candidate's figures and verdict, flat; latencies are in milliseconds, sizes in bytes."""
    measured = verdict["measured"]
    accuracy, latency = measured.get("accuracy", {}), measured.get("latency", {})
    sizes = measured.get("size", {})
    percentile = str(latency.get("percentile", 50))
    figures = {
        "metric": accuracy.get("metric"),
        "accuracy": accuracy.get("candidate"),
        "baseline accuracy": accuracy.get("baseline"),
        **{
            f"{side}{entry['figure']}": entry[model]
            for entry in measured.get("accuracies", [])
            for side, model in (("", "candidate"), ("baseline ", "baseline"))
        },
        "latency ratio": latency.get("ratio"),
        "latency": latency.get("candidate", {}).get(percentile),
        "baseline latency": latency.get("baseline", {}).get(percentile),
        "size": sizes.get("candidate", {}).get("file"),
        "gzip size": sizes.get("candidate", {}).get("gzip"),
        "baseline size": sizes.get("baseline", {}).get("file"),
        **{name.replace("_", " "): value for name, value in measured.get("invariants", {}).items()},
        "passed": bool(verdict["blessed"]),
        "reasons": list(verdict["reasons"]),
    }
    return {name: value for name, value in figures.items() if value is not None}


def _of_properties(facts: dict[str, Any]) -> dict[str, Any]:
    """The same, as far as an evaluation's custom properties tell."""
    names = {
        "accuracy": "accuracy",
        "baseline accuracy": "baseline_accuracy",
        "latency ratio": "latency_ratio",
        "size": "bytes",
        "gzip size": "gzip_bytes",
        "least layer sparsity": "least_layer_sparsity",
        "most layer clusters": "most_layer_clusters",
        "least m by n": "least_m_by_n",
    }
    found = {name: facts[key] for name, key in names.items() if key in facts}
    if "blessed" in facts:
        found["passed"] = bool(facts["blessed"])
        found["reasons"] = _joined(str(facts.get("reason", "")))
    return found


def as_properties_tell(figures: dict[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """A report's figures as they would be if only custom properties were left of it.

    ML Metadata's databases hold six decimals of a number, and an evaluation's property the beginning of the
    reasons.

    Args:
        figures: Of a candidate, from a report.
        known: Names of those that are known of the candidate that it is compared with.
    """
    found = {name: value for name, value in figures.items() if name in set(known)}
    for name, value in found.items():
        if isinstance(value, float):
            found[name] = round(value, _DECIMALS)
    if "reasons" in found:
        found["reasons"] = _joined("; ".join(found["reasons"]))
    return found


def _joined(reasons: str) -> list[str]:
    return [reasons[:_REASON_LENGTH]] if reasons else []
