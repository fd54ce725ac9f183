"""Training from files of examples: whose they are comes from a feature that the model does not see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from components.common.data.examples import Examples
from components.common.data.model_inputs import ExamplesError
from components.common.models import model_files
from components.common.models.model_definition import ModelDefinition
from components.federated_trainer.params import BaselineOptions, Federated
from components.federated_trainer.record import FederatedRecord
from components.federated_trainer.run_fn import record_at, train_federated
from tests.components.conftest import MakeModule
from tests.conftest import to_example, write_examples

SCHEMA = """
feature { name: "x" type: FLOAT presence { min_fraction: 1.0 min_count: 1 } shape { dim { size: 4 } } }
feature { name: "site" type: BYTES presence { min_fraction: 1.0 min_count: 1 } shape { dim { size: 1 } } }
feature { name: "label" type: INT presence { min_fraction: 1.0 min_count: 1 } shape { dim { size: 1 } } }
"""
MODEL = """
import tf_keras

def build_model(hparams):
    model = tf_keras.Sequential([tf_keras.Input((4,), name="x"), tf_keras.layers.Dense(2, activation="softmax")])
    model.compile(tf_keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", ["accuracy"])
    return model
"""


@pytest.fixture
def examples(tmp_path: Path) -> Examples:
    """Of three sites, 60, 30 and 10 of 100, each with labels that their own features decide."""
    random = np.random.default_rng(1)

    def records(count: int) -> list[bytes]:
        rows = random.normal(0, 1, (count, 4))
        sites = np.repeat([b"south", b"north", b"east"], [count * 6 // 10, count * 3 // 10, count // 10])
        return [
            to_example({"x": row.tolist(), "site": [site], "label": [int(row[0] > 0)]})
            for row, site in zip(rows, sites, strict=True)
        ]

    folder = write_examples(tmp_path, SCHEMA, train=records(200), eval=records(50))
    return Examples(str(folder / "examples"), str(folder / "schema"), None, "label")


def train(examples: Examples, module: str, output: Path, by: str) -> FederatedRecord:
    options = Federated.model_validate({"clients": {"by": by}, "rounds": 3})
    plain = BaselineOptions(batch_size=10).plain()
    return train_federated(
        examples, str(output), str(output / "logs"), ModelDefinition(module), plain, options, 1
    )


def test_each_site_trains_on_its_own_examples(
    examples: Examples, make_module: MakeModule, tmp_path: Path
) -> None:
    output = tmp_path / "model"
    record = train(examples, make_module(MODEL), output, "site")
    assert [(c.name, c.examples, c.eval_examples, c.rounds) for c in record.clients] == [
        ("east", 20, 5, 3), ("north", 60, 15, 3), ("south", 120, 30, 3)
    ]  # fmt: skip
    assert record_at(str(output)) == record and record.value is not None and record.value > 0.75
    assert record.bytes_up == 3 * 3 * 4 * 10
    model = model_files.load(str(output))
    assert model.input_names == ["x"]
    events = EventAccumulator(str(output / "logs/validation")).Reload()
    assert "epoch_accuracy" in events.Tags()["tensors"]


@pytest.mark.parametrize(
    ("by", "said"),
    [
        ("x", "is a feature of the model, so the model would learn who they are"),
        ("user", "have no feature 'user'"),
    ],
)
def test_a_feature_that_cannot_name_clients_is_refused(
    examples: Examples, make_module: MakeModule, tmp_path: Path, by: str, said: str
) -> None:
    with pytest.raises(ExamplesError, match=said):
        train(examples, make_module(MODEL), tmp_path / "model", by)
