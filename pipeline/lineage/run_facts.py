"""Facts about a run: its config, code, environment, data, nodes and verdicts.

A run of before there were records has no config, environment or data documents; one whose files were
collected has no report. What is not known is None, and is never taken for equal.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.common.base.document import DocumentError
from components.evaluator.verdict import Verdict
from components.measurer.measurement import REASON_LENGTH
from components.measurer.served_load import FIGURES as SERVED
from components.selector.report import REPORT_FILE, SelectorReport
from pipeline.lineage.facts import headlines
from pipeline.plan.node import EXAMPLE_GENS, SELECTOR
from pipeline.store.failures import by_candidate
from pipeline.store.reader import Reader
from pipeline.store.records import Execution, Run, by_key, decoded
from pipeline.store.state import State

REPORT, PROPERTIES = "report", "properties"

# Decimals of a number that ML Metadata keeps.
_DECIMALS = 6


@dataclass(frozen=True)
class RunFacts:
    """A run and what it was made of.

    Attributes:
        run: The run.
        config: As resolved.
        environment: Python, platform, CPU, packages.
        data: Split → `{file, bytes, sha256}` of each of its files.
        fingerprint: What TFX recorded of each split's files: their number, bytes and times.
        nodes: Node id → the last execution that it had in the run; its properties are the parameters, with JSON
            texts in them decoded, at every depth.
        candidates: Candidate → figures and verdict, flat; None if there is no verdict or nothing is left of it.
        candidates_from: `report`, or `properties` if only those of the evaluations are left.
    """

    run: Run
    config: dict[str, Any] | None
    environment: dict[str, Any] | None
    data: dict[str, list[dict[str, Any]]] | None
    fingerprint: dict[str, dict[str, str]] | None
    nodes: dict[str, Execution]
    candidates: dict[str, dict[str, Any]] | None
    candidates_from: str = ""

    @property
    def seed(self) -> int | None:
        """The seed of the run; if it was not recorded, the one that its nodes were given."""
        if self.run.seed is not None:
            return self.run.seed
        given = {node.properties["seed"] for node in self.nodes.values() if "seed" in node.properties}
        return given.pop() if len(given) == 1 else None


def read(reader: Reader, run: Run) -> RunFacts:
    """Reads what is known of a run.

    Args:
        reader: Reader of the store.
        run: One of its runs.
    """
    executions = {found.node: found for found in reader.executions_of_run(run) if found.node}
    nodes = {name: _with_parameters(reader, execution) for name, execution in executions.items()}
    selector = executions.get(SELECTOR)
    candidates, source = _candidates(reader, selector, run) if selector else (None, "")
    return RunFacts(
        run=run,
        config=reader.document(run.config_hash),
        environment=reader.document(run.environment_hash),
        data=reader.document(run.data_hash),
        fingerprint=_fingerprint(nodes),
        nodes=nodes,
        candidates=candidates,
        candidates_from=source,
    )


def _with_parameters(reader: Reader, execution: Execution) -> Execution:
    """An execution with what the node was given, without what TFX writes beside it.

    ML Metadata does not have what a driver adds to the parameters of a cached execution, so those of the
    execution that made its outputs are taken.
    """
    maker = _maker(reader, execution) if execution.state is State.CACHED else execution
    parameters = {
        name: decoded(value) for name, value in maker.properties.items() if not name.startswith("__")
    }
    return dataclasses.replace(execution, properties=parameters)


def _maker(reader: Reader, execution: Execution) -> Execution:
    """The execution that made what a cached one took; the cached one itself if there is none."""
    outputs = [edge.artifact for edge in reader.edges_of_executions([execution.id]) if edge.output]
    makers = [edge.execution for edge in reader.edges_of_artifacts(outputs) if edge.output]
    return next(iter(reader.executions(makers, State.RAN)), execution)


def _fingerprint(nodes: dict[str, Execution]) -> dict[str, dict[str, str]] | None:
    readers = [nodes[node] for node in EXAMPLE_GENS.values() if node in nodes]
    text = readers[0].properties.get("input_fingerprint") if readers else None
    if not text:
        return None
    splits = [dict(part.partition(":")[::2] for part in line.split(",")) for line in str(text).splitlines()]
    return {split.pop("split", ""): split for split in splits}


def _candidates(
    reader: Reader, selector: Execution, run: Run
) -> tuple[dict[str, dict[str, Any]] | None, str]:
    edges = reader.edges_of_executions([selector.id])
    inputs, reports = by_key(edges, output=False), by_key(edges, output=True).get("report", [])
    for report in reader.artifacts(reports):
        try:
            written = SelectorReport.read(Path(report.uri, REPORT_FILE))
            verdicts = written.with_failures(by_candidate(run.failures)).candidates
        except DocumentError:  # removed or damaged; what ML Metadata holds is left
            continue
        return {name: _of_verdict(verdict) for name, verdict in verdicts.items()}, REPORT
    if not reports:
        return None, ""
    found = {}
    for name in decoded(selector.properties).get("candidates", []):
        for evaluation in reader.artifacts(inputs.get(f"evaluation_{name.replace('-', '_')}", [])):
            found[name] = _of_properties(evaluation.properties)
    return (found, PROPERTIES) if found else (None, "")


def _of_verdict(verdict: Verdict) -> dict[str, Any]:
    """A candidate's figures and verdict, flat; latencies are in milliseconds, sizes in bytes."""
    measured = verdict.measured
    accuracy = measured.accuracy
    packed = measured.device.packed if measured.device else None
    npu = measured.device.npu if measured.device else None
    served = measured.load.properties() if measured.load else {}
    figures: dict[str, Any] = {
        "metric": accuracy.metric if accuracy else None,
        "accuracy": accuracy.candidate if accuracy else None,
        "baseline accuracy": accuracy.baseline if accuracy else None,
        **{one.title: one.candidate for one in measured.accuracies},
        **{f"baseline {one.title}": one.baseline for one in measured.accuracies},
        "latency ratio": measured.latency.ratio if measured.latency else None,
        "latency": measured.milliseconds(),
        "baseline latency": measured.milliseconds("baseline"),
        "size": measured.bytes("file"),
        "gzip size": measured.bytes("gzip"),
        "Brotli size": measured.bytes("brotli"),
        "baseline size": measured.bytes("file", "baseline"),
        "memory": measured.device_bytes("memory"),
        "baseline memory": measured.device_bytes("memory", "baseline"),
        "flash": measured.device_bytes("flash"),
        "same prediction": measured.device.same_prediction if measured.device else None,
        "packed flash ratio": packed.flash_ratio if packed else None,
        "packed memory ratio": packed.memory_ratio if packed else None,
        "packed time ratio": packed.time_ratio if packed else None,
        "packed differing": packed.differing if packed else None,
        "NPU cycles": npu.cycles if npu else None,
        "NPU SRAM": npu.sram if npu else None,
        "NPU flash": npu.flash if npu else None,
        "NPU operators on the CPU": npu.on_cpu if npu else None,
        **{name: served[key] for name, key in SERVED.items() if key in served},
        **{name.replace("_", " "): value for name, value in measured.invariants.items()},
        "passed": verdict.blessed,
        "reasons": list(verdict.reasons),
    }
    return {name: value for name, value in figures.items() if value is not None}


def _of_properties(facts: dict[str, Any]) -> dict[str, Any]:
    """The same, as far as it is in an evaluation's custom properties."""
    names = {
        "accuracy": "accuracy",
        "baseline accuracy": "baseline_accuracy",
        "latency ratio": "latency_ratio",
        "size": "bytes",
        "gzip size": "gzip_bytes",
        "Brotli size": "brotli_bytes",
        "memory": "memory_bytes",
        "flash": "flash_bytes",
        "same prediction": "same_prediction",
        "packed flash ratio": "packed_flash_ratio",
        "packed memory ratio": "packed_memory_ratio",
        "packed time ratio": "packed_time_ratio",
        "packed differing": "packed_differing",
        "NPU cycles": "npu_cycles",
        "NPU SRAM": "npu_sram_bytes",
        "NPU flash": "npu_flash_bytes",
        "NPU operators on the CPU": "npu_cpu_operators",
        **SERVED,
        **{name.replace("_", " "): name for name in headlines()},
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
        figures: Figures of a candidate, from a report.
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
    return [reasons[:REASON_LENGTH]] if reasons else []
