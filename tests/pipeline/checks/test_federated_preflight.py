"""What is wrong with federated training is said before a run, at the key that is at fault."""

from __future__ import annotations

import pytest

from tests.project import MODEL, Project, changed, examples

FEDERATED = "{module: MODULE, train: {federated: {clients: CLIENTS, rounds: 2}}}"


def configure(project: Project, clients: str) -> None:
    project.write_config(model=FEDERATED.replace("CLIENTS", clients))
    for split, count in (("train", 30), ("eval", 12)):
        rows = [{**row, "site": index % 3} for index, row in enumerate(examples(count))]
        project.write_records(f"{split}.tfrecord.gz", rows)


@pytest.mark.parametrize(
    ("by", "said"),
    [
        ("x", "'x' is a feature of the model, so the model would learn who the clients are"),
        ("user", "'user' is not a feature of the data, which has label, site, x"),
    ],
)
def test_a_column_that_does_not_name_clients_is_refused(project: Project, by: str, said: str) -> None:
    configure(project, f"{{by: {by}}}")
    problem = project.problem()
    assert problem.key() == "model.train.federated.clients.by" and said in problem.message


def test_batch_normalization_needs_a_rule(project: Project) -> None:
    layer = 'tf_keras.layers.Dense(3, name="last")'
    project.write_model(changed(MODEL, layer, f"tf_keras.layers.BatchNormalization(), {layer}"))
    configure(project, "{by: site}")
    problem = project.problem()
    assert problem.key() == "model.train.federated"
    assert problem.message.endswith("write batch_norm: average, or batch_norm: local")
    assert project.looked_at("model.train.federated.batch_norm=average") == []
