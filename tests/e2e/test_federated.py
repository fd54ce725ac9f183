"""The example of federated training, small: from examples to a pushed model; its figures; compiled for a cluster."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from components.federated_trainer.record import RECORD_FILE, FederatedRecord
from tests.e2e.project import Project, make_project
from tests.e2e.warm import REPOSITORY

pytestmark = pytest.mark.e2e

SMALL = (
    "data.path=data",
    "push.directory=serving",
    "model.module=model",
    "model.hparams={filters: [4, 8], units: 16, learning_rate: 0.003}",
    "model.train.federated.clients={dirichlet: 0.5, count: 3}",
    "model.train.federated.rounds=4",
    "model.train.federated.goal=0.5",
    "model.train.federated.min_clients=2",
    "gate={accuracy: {metric: SparseCategoricalAccuracy, min: 0.3}, latency: {repetitions: 20, warmup: 2}, "
    "traffic: {max: 1 MB}, worst_client: {min: 0.1}}",
)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, dict[str, Any]]:
    """A project after its run, and what the run printed."""
    project = make_project(tmp_path_factory.mktemp("federated"), train=1200, test=300)
    shutil.copy(REPOSITORY / "configs/federated/pipeline.yaml", project.root / "pipeline.yaml")
    sets = [part for one in SMALL for part in ("--set", one)]
    return project, project.run("--only", "int8", *sets)


def test_a_run_trains_judges_and_pushes_what_clients_have_trained(
    done: tuple[Project, dict[str, Any]],
) -> None:
    project, printed = done
    assert printed["winner"] == "int8"
    (model,) = (project.root / ".paredown/federated/Trainer/model").iterdir()
    record = FederatedRecord.read(model / RECORD_FILE)
    assert [len(record.rounds), sum(c.examples for c in record.clients)] == [4, 1200]
    assert sum(c.eval_examples for c in record.clients) == 300
    # One byte in place of four, and four for each tensor.
    assert 0.25 < record.bytes_up / record.bytes_down < 0.27
    verdict = printed["candidates"]["int8"]
    assert verdict["federated"]["bytes_up"] == record.bytes_up
    limits = {one["key"]: one["value"] for one in verdict["judgements"] if one.get("key")}
    assert limits["gate.traffic.max"] == record.bytes_up + record.bytes_down
    assert limits["gate.worst_client.min"] == record.worst_client
    history = json.loads((model / "history.json").read_text(encoding="utf-8"))
    assert [epoch["val_accuracy"] for epoch in history["epochs"]] == [one.value for one in record.rounds]


def test_lineage_and_report_have_its_figures(done: tuple[Project, dict[str, Any]], tmp_path: Path) -> None:
    project, printed = done
    shown = project.paredown("lineage", printed["pushed"])
    assert "4 rounds of 3 clients" in " ".join(shown.out.split()), shown.out
    page = tmp_path / "page.html"
    assert project.paredown("report", "latest", "-o", str(page)).code == 0
    assert "3 clients trained in 4 rounds by fedavg" in page.read_text(encoding="utf-8")


def test_it_compiles_for_a_cluster(done: tuple[Project, dict[str, Any]], tmp_path: Path) -> None:
    project, _ = done
    sets = [part for one in SMALL for part in ("--set", one)]
    output = tmp_path / "compiled.yaml"
    outcome = project.paredown(
        "compile",
        "pipeline.yaml",
        "--image",
        "example.com/image:1",
        "--pipeline-root",
        "gs://b/root",
        "-o",
        str(output),
        *sets,
    )
    assert outcome.code == 0, outcome.err
    text = output.read_text(encoding="utf-8")
    assert "components.federated_trainer.executor.Executor" in text
