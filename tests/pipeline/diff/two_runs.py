"""Projects with runs to be compared, and what a comparison says."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2
from rich.console import Console

from components.evaluator.verdict import Verdict
from components.measurer.measured import Accuracy, Size
from components.selector.params import SelectOptions
from components.selector.report import SelectorReport
from pipeline.diff import difference as run_diff
from pipeline.diff import table as run_diff_table
from pipeline.run.provenance import Provenance
from tests.pipeline.run_history import History, document, provenance
from tests.verdicts import latency, sizes
from tests.verdicts import verdict as made_verdict

EVALUATOR = "components.evaluator.component.Evaluator"
CONFIG: dict[str, Any] = {
    "name": "small",
    "candidates": {"int8": [{"prune": None, "convert": {"quantization": "int8", "io": "int8"}}]},
    "gate": {"size": {"max_ratio": 0.3, "min": None}},
    "run": {"seed": 42, "beam_args": ["--a=1"]},
}
ENVIRONMENT = {"python": "3.10.1", "cpu": "AMD EPYC", "packages": {"numpy": "1.26.4", "tfx": "1.16.0"}}
DATA = {
    "train": [{"file": "train.gz", "bytes": 1000, "sha256": "a" * 64}],
    "eval": [{"file": "test.gz", "bytes": 200, "sha256": "b" * 64}],
}
FINGERPRINT = (
    "split:train,num_files:1,total_bytes:1000,xor_checksum:17,sum_checksum:17\n"
    "split:eval,num_files:1,total_bytes:200,xor_checksum:18,sum_checksum:18"
)
HPARAMS = {"filters": [4, 8], "units": 16}


def made_of(
    config: dict[str, Any] = CONFIG,
    environment: dict[str, Any] = ENVIRONMENT,
    data: dict[str, Any] = DATA,
    **changed: Any,
) -> Provenance:
    return provenance(
        config=document("config", config),
        environment=document("environment", environment),
        data=document("data", data),
        **changed,
    )


def verdict(accuracy: float = 0.9872, ratio: float = 0.5, size: int = 819416, reasons: Any = ()) -> Verdict:
    times = latency({50: 0.04, 90: 0.05}, 0.08, percentile=90, ratio=ratio)
    return made_verdict(
        Accuracy("AUC", True, accuracy, 0.9855),
        times=dataclasses.replace(times, baseline={50: 0.08, 90: 0.09}),
        blessed=not reasons,
        reasons=reasons,
        size=sizes(size, 680000, Size(3255868, 1)),
        invariants={"least_layer_sparsity": 0.7986111},
    )


class Project:
    """Runs of a pipeline with the nodes that are compared."""

    def __init__(self, folder: Path):
        config = metadata_store_pb2.ConnectionConfig(fake_database=metadata_store_pb2.FakeDatabaseConfig())
        self.history = History(folder / "root", store=metadata_store.MetadataStore(config))
        self.reports: dict[str, Path] = {}

    def run(
        self,
        name: str,
        of: Provenance | None = None,
        verdicts: dict[str, Verdict] | None = None,
        status: str | None = "pushed",
        fingerprint: str = FINGERPRINT,
        trainer: dict[str, Any] | None = None,
        nodes: tuple[str, ...] = (),
        **facts: Any,
    ) -> str:
        history = self.history
        history.run(name, status, made_of=of or made_of(), **{"winner": "int8", "pushed": "/s/1", **facts})
        history.execute(
            name, "ImportExampleGen", {}, {"examples": "Examples"},
            {"input_base": "/data", "input_fingerprint": fingerprint, "span": 0},
        )  # fmt: skip
        custom = {
            "code_version": "c0de00000001",
            "hparams": json.dumps(HPARAMS),
            "seed": 42,
            **(trainer or {}),
        }
        history.execute(
            name, "Trainer", parameters={"custom_config": json.dumps(custom), "run_fn": "a.run_fn"}
        )
        for node in nodes:
            history.execute(
                name, node, parameters={"params": "{}", "seed": 42, "code_version": "c0de00000002"}
            )
        if verdicts is None:
            verdicts = {"int8": verdict()}
        if verdicts:
            self._select(name, verdicts)
        return name

    def _select(self, name: str, verdicts: dict[str, Verdict]) -> None:
        inputs = {}
        for candidate, verdict in verdicts.items():
            made = self.history.execute(
                name, f"{candidate}-evaluate", {}, {"evaluation": "ModelEvaluation"}, kind=EVALUATOR
            )["evaluation"]
            self.history.tell(made, **verdict.properties())
            inputs[f"evaluation_{candidate.replace('-', '_')}"] = made
        made = self.history.execute(
            name, "Selector", inputs, {"report": "components.OptimizationReport"},
            {"candidates": json.dumps(list(verdicts)), "code_version": "5e1ec7000000"},
        )["report"]  # fmt: skip
        self.reports[name] = self.history.folder(made) / "report.json"
        SelectorReport("int8", SelectOptions(minimize="size"), verdicts).write(self.reports[name])

    def diff(self, first: str, second: str) -> run_diff.RunDiff:
        runs = [self.history.reader.run(name) for name in (first, second)]
        assert runs[0] is not None and runs[1] is not None
        return run_diff.diff(self.history.reader, runs[0], self.history.reader, runs[1])


def changes_in(compared: run_diff.RunDiff, section: str) -> set[tuple[str, str, str, Any, Any]]:
    found = compared.section(section).changes
    return {(c.group, c.key, c.kind, _hashable(c.before), _hashable(c.after)) for c in found}


def _hashable(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, (list, dict)) else value


def states(compared: run_diff.RunDiff) -> dict[str, str]:
    return {section.name: section.state for section in compared.sections}


def rendered(compared: run_diff.RunDiff, width: int = 160) -> str:
    stream = io.StringIO()
    run_diff_table.show(Console(file=stream, width=width, color_system=None), compared)
    return stream.getvalue()
