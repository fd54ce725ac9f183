"""What `model.train.federated` needs of other sections, and what it changes in a plan."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.config.config_file import load
from pipeline.config.problem import ConfigError
from pipeline.plan.planner import make_plan

FEDERATED = Path("configs/federated/pipeline.yaml")
MNIST = Path("configs/mnist/pipeline.yaml")
ON_SERVER = "[{fine_tune: {}}, {convert: {quantization: int8}}]"
ON_CLIENTS = "x=[{prune: {sparsity: 0.8, federated: true}}, {convert: {quantization: int8}}]"


@pytest.mark.parametrize(
    ("path", "sets", "key", "said"),
    [
        (
            MNIST,
            ["gate.traffic={max: 1 MB}"],
            "gate.traffic",
            "write model.train.federated, or remove gate.traffic",
        ),
        (MNIST, ["gate.worst_client={min: 0.5}"], "gate.worst_client", "is a figure of federated training"),
        (
            FEDERATED,
            ["model.train.federated.clients={by: label}"],
            "model.train.federated.clients.by",
            "'label' is the label, so each client would have one class",
        ),
        (
            MNIST,
            [f"candidates.{ON_CLIENTS}"],
            "candidates.x[0].prune.federated",
            "there is none; write one, e.g. {clients: {by: user_id}, rounds: 10}",
        ),
        (
            FEDERATED,
            [
                "candidates.x=[{qat: {federated: true, freeze_ranges_after: 0.5}}, {convert: {quantization: int8}}]"
            ],
            "candidates.x[0].qat",
            "the server sets the ranges before the first round, and they stay; remove freeze_ranges_after",
        ),
        (
            FEDERATED,
            [
                "candidates.x=[{fine_tune: {federated: true, teacher: self}}, {convert: {quantization: float16}}]"
            ],
            "candidates.x[0].fine_tune",
            "clients learn from the labels of their own examples",
        ),
        (
            FEDERATED,
            ["model.train.federated.clients={files: client-*}"],
            "model.train.federated.clients.files",
            "clients are files of format csv alone, and data.format is tfrecord",
        ),
        (FEDERATED, ["model.train.epochs=3"], "model.train", "epochs has no meaning beside federated"),
        (
            FEDERATED,
            ["model.train.federated.rounds=0"],
            "model.train.federated.rounds",
            "must be at least 1, but is 0",
        ),
    ],
)
def test_a_mistake_is_named_at_its_key(path: Path, sets: list[str], key: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(path, sets)
    (problem,) = refused.value.problems
    assert problem.key() == key and said in problem.message


def test_only_the_trainer_and_what_judges_differ_from_a_plan_without_clients() -> None:
    gate = "gate={accuracy: {metric: SparseCategoricalAccuracy, min: 0.97}}"
    file = load(
        FEDERATED, ["model.train={batch_size: 64}", gate, "candidates.clients-pruned-qat-int8=" + ON_SERVER]
    )
    plain = make_plan(file.config, FEDERATED)
    federated = make_plan(
        load(FEDERATED, ["candidates.clients-pruned-qat-int8=" + ON_SERVER]).config, FEDERATED
    )
    differing = {node.id for node in federated.nodes if node != plain.node(node.id)}
    judging = {node.id for node in federated.nodes if node.id.endswith("-evaluate")}
    assert differing == {"Trainer", *judging}
    trainer = federated.node("Trainer")
    assert trainer.component == "components.federated_trainer.component.FederatedTrainer"
    config = json.loads(str(trainer.parameters["custom_config"]))
    assert json.loads(config["federated"])["clients"] == {"by": None, "count": 10, "dirichlet": 0.3}
    assert config["params"] == json.loads(str(plain.node("Trainer").parameters["custom_config"]))["params"]
    assert all("trained" in federated.node(node).inputs for node in judging)


def test_a_step_that_clients_train_has_their_options_and_code_and_no_other_step_has() -> None:
    plan = make_plan(load(FEDERATED, ["model.train.seed=7", f"candidates.{ON_CLIENTS}"]).config, FEDERATED)
    (id_,) = [node.id for node in plan.nodes if "x" in node.candidates and "prune" in node.component]
    node = plan.node(id_)
    given = json.loads(str(node.parameters["federated"]))
    assert given["seed"] == 7 and given["options"]["clients"]["count"] == 10
    assert "components.federated_trainer.step_training" in json.loads(str(node.parameters["code_modules"]))
    others = [other for other in plan.nodes if other.trains and "federated" in other.parameters]
    assert {"x", "clients-pruned-qat-int8"} == {name for other in others for name in other.candidates}


def test_an_imported_model_has_no_clients() -> None:
    sets = ["model={import: model.h5}", f"candidates={{{ON_CLIENTS.replace('=', ': ', 1)}}}"]
    with pytest.raises(ConfigError, match="an imported model is not trained") as refused:
        load(MNIST, sets)
    assert [problem.key() for problem in refused.value.problems] == ["candidates.x[0].prune.federated"]


def test_the_data_get_the_name_of_their_file_if_files_are_clients(tmp_path: Path) -> None:
    data = f"data={{format: csv, path: {tmp_path}, splits: {{train: train/*, eval: eval/*}}, label: label}}"
    clients = "model.train.federated.clients="
    files, by = (
        make_plan(load(FEDERATED, [data, f"{clients}{rule}"]).config, FEDERATED).node("CsvExampleGen")
        for rule in ("{files: client-*}", "{by: user}")
    )
    assert files.component == "components.csv_example_gen.component.CsvExampleGen"
    assert (files.parameters["file_feature"], files.parameters["missing"]) == ("file_name", "[]")
    assert by.component == "tfx.components.CsvExampleGen" and "file_feature" not in by.parameters
