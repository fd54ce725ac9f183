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
    federated = make_plan(load(FEDERATED).config, FEDERATED)
    gate = "gate={accuracy: {metric: SparseCategoricalAccuracy, min: 0.97}}"
    file = load(FEDERATED, ["model.train={batch_size: 64}", gate])
    plain = make_plan(file.config, FEDERATED)
    differing = {node.id for node in federated.nodes if node != plain.node(node.id)}
    judging = {node.id for node in federated.nodes if node.id.endswith("-evaluate")}
    assert differing == {"Trainer", *judging}
    trainer = federated.node("Trainer")
    assert trainer.component == "components.federated_trainer.component.FederatedTrainer"
    config = json.loads(str(trainer.parameters["custom_config"]))
    assert json.loads(config["federated"])["clients"] == {"by": None, "count": 10, "dirichlet": 0.3}
    assert config["params"] == json.loads(str(plain.node("Trainer").parameters["custom_config"]))["params"]
    assert all("trained" in federated.node(node).inputs for node in judging)
