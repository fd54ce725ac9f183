"""Steps that clients train: what the server has decided holds in every average, and is not sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tf_keras

from components.clusterer.executor import cluster
from components.clusterer.params import ClusterOptions
from components.common.base.step_options import ClientTuningOptions
from components.common.data.examples import Examples
from components.common.models import layer_weights, model_files
from components.common.models.model_definition import ModelDefinition
from components.common.models.model_files import StepRecord
from components.common.tflite import tflite_file
from components.federated_trainer import privacy
from components.federated_trainer.params import Federated, OfSteps
from components.federated_trainer.run_fn import record_at
from components.federated_trainer.step_training import rounds_of
from components.fine_tuner.executor import fine_tune
from components.fine_tuner.params import FineTuneOptions
from components.pruner.executor import prune
from components.pruner.params import PruneOptions
from components.quantization_aware_trainer.executor import train_quantization_aware
from components.quantization_aware_trainer.params import QatOptions
from components.tflite_converter.executor import convert_model
from components.tflite_converter.params import ConvertOptions
from tests.components.conftest import make_job, run_step
from tests.conftest import to_example, write_examples

SCHEMA = """
feature { name: "x" type: FLOAT presence { min_fraction: 1.0 min_count: 1 } shape { dim { size: 8 } } }
feature { name: "site" type: BYTES presence { min_fraction: 1.0 min_count: 1 } shape { dim { size: 1 } } }
feature { name: "label" type: INT presence { min_fraction: 1.0 min_count: 1 } shape { dim { size: 1 } } }
"""
MODEL = """
import tf_keras

def build_model(hparams):
    layers = tf_keras.layers
    model = tf_keras.Sequential([
        tf_keras.Input((8,), name="x"), layers.Dense(20, "relu", name="hidden"), layers.Dense(2, "softmax", name="out")
    ])
    model.compile(tf_keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", ["accuracy"])
    return model
"""
HIDDEN, OUT = 160, 40
BIASES = 22
NOISY = {"clip": 1.0, "noise": 0.5}

Run = Callable[[str, Any, ClientTuningOptions, dict[str, Any]], dict[str, Any]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs a step on a folder that is named, and returns the facts and the folder of the result."""
    folder = tmp_path_factory.mktemp("steps")
    (folder / "sites_model.py").write_text(MODEL, encoding="utf-8")
    random = np.random.default_rng(1)

    def records(count: int) -> list[bytes]:
        rows = random.normal(0, 1, (count, 8))
        sites = np.repeat([b"south", b"north", b"east"], [count * 6 // 10, count * 3 // 10, count // 10])
        return [
            to_example({"x": row.tolist(), "site": [site], "label": [int(row[:3].sum() > 0)]})
            for row, site in zip(rows, sites, strict=True)
        ]

    written = write_examples(folder, SCHEMA, train=records(200), eval=records(50))
    examples = Examples(str(written / "examples"), str(written / "schema"), None, "label")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        definition = ModelDefinition("sites_model")
        tf_keras.utils.set_random_seed(3)
        base = folder / "base"
        model_files.save(definition.build(), str(base), ["x"], StepRecord(), {})

    def step(work: Any, base_model: str, options: ClientTuningOptions, **more: Any) -> dict[str, Any]:
        output = tmp_path_factory.mktemp("step")
        rounds = {"clients": {"by": "site"}, "rounds": 4, **more}
        federated = OfSteps(options=Federated.model_validate(rounds), seed=1).canonical_json()
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(folder)
            job = make_job(
                base_model or base, output, options, examples, definition=definition,
                federated=federated if isinstance(options, ClientTuningOptions) else "",
            )  # fmt: skip
            return {**run_step(work, job), "uri": str(output)}

    return step


@pytest.fixture(scope="module")
def sparse(run: Run) -> dict[str, Any]:
    """Pruned by the server, then trained for three rounds by clients that send int8 values."""
    options = PruneOptions(sparsity=0.75, epochs=3, federated=True, batch_size=20)
    return run(prune, "", options, updates={"compress": "int8"})


@pytest.fixture(scope="module")
def shared(run: Run, sparse: dict[str, Any]) -> dict[str, Any]:
    """Clustered by the server on top of that, and trained for two rounds under noise."""
    options = ClusterOptions(clusters=6, epochs=2, federated=True, batch_size=20)
    return run(cluster, sparse["uri"], options, privacy=NOISY)


def kernels(uri: str) -> dict[str, Any]:
    """Layer → its kernel in the Keras model of an artifact."""
    model = model_files.load(uri)
    return {
        layer_weights.inner_layer(layer).name: layer_weights.kernel_of(layer).numpy()
        for layer in model.layers
        if layer_weights.has_kernel(layer)
    }


def zeros_and_values(uri: str) -> dict[str, tuple[float, int]]:
    return {name: (float((k == 0).mean()), np.unique(k).size) for name, k in kernels(uri).items()}


def test_zeros_of_the_server_hold_and_are_not_sent(sparse: dict[str, Any]) -> None:
    assert {name: zeros for name, (zeros, _) in zeros_and_values(sparse["uri"]).items()} == {
        "hidden": 0.75,
        "out": 0.75,
    }
    record = record_at(sparse["uri"])
    free = HIDDEN // 4 + OUT // 4 + BIASES
    assert [one.bytes_up for one in record.rounds] == [3 * (free + 4 * 4)] * 3
    # A bit for each weight, once, says which ones are zero.
    assert [one.bytes_down for one in record.rounds] == [
        3 * (4 * free + (HIDDEN + OUT) // 8),
        *[12 * free] * 2,
    ]
    assert sparse["federated_bytes_up"] == record.bytes_up and sparse["trained_epochs"] == 3
    assert sparse["final_val_accuracy"] == record.value and (record.value or 0) > 0.6


def test_shared_values_hold_under_noise_and_epsilon_is_of_the_whole_chain(
    sparse: dict[str, Any], shared: dict[str, Any]
) -> None:
    for zeros, values in zeros_and_values(shared["uri"]).values():
        assert zeros >= 0.75 and values <= 6
    record = record_at(shared["uri"])
    assert {one.bytes_up for one in record.rounds} <= {
        clients * 4 * (5 + 5 + BIASES) for clients in range(4)
    }
    cost = StepRecord.read(shared["uri"]).federated
    before = StepRecord.read(sparse["uri"]).federated
    assert cost is not None and before is not None and cost.rounds == 5
    assert cost.traffic == before.traffic + record.bytes_up + record.bytes_down
    # Four rounds of the baseline, three of `prune` and two of this step.
    assert cost.epsilon == record.epsilon == privacy.epsilon(0.5, 1.0, 4 + 3 + 2, 1e-5)


def test_the_int8_file_keeps_both_after_quantization_aware_training(
    run: Run, shared: dict[str, Any]
) -> None:
    aware = run(
        train_quantization_aware, shared["uri"], QatOptions(epochs=1, federated=True, batch_size=20)
    )
    before, after = zeros_and_values(shared["uri"]), zeros_and_values(aware["uri"])
    assert after == before
    ranges = json.loads(aware["ranges"])
    assert ranges and all(one["high"] > one["low"] for one in ranges.values())
    done = run(convert_model, aware["uri"], ConvertOptions(quantization="int8"))
    file = tflite_file.read(model_files.tflite_file(done["uri"]))
    for kernel in file.kernels:
        assert kernel.dtype == "int8" and kernel.sparsity() >= 0.75 and kernel.unique() <= 6


def test_training_on_moves_what_is_free_alone(run: Run, sparse: dict[str, Any]) -> None:
    options = FineTuneOptions(epochs=2, federated=True, batch_size=20, freeze=["out"])
    tuned = run(fine_tune, sparse["uri"], options, clients_per_round=2, strategy="fedadam")
    before, after = kernels(sparse["uri"]), kernels(tuned["uri"])
    assert (after["out"] == before["out"]).all()
    moved = after["hidden"] != before["hidden"]
    assert moved.any() and (before["hidden"][moved] != 0).all()
    # Two passes over the examples, of which two of three clients see a share in each round.
    assert tuned["trained_epochs"] == 3


@pytest.mark.parametrize(
    ("step", "options", "rounds"),
    [
        ({"epochs": 2}, {}, 2),
        ({"epochs": 2}, {"clients_per_round": 2}, 10),
        ({"epochs": 3}, {"local_epochs": 2}, 2),
    ],
)
def test_rounds_are_enough_for_the_epochs_of_the_step(
    step: dict[str, Any], options: dict[str, Any], rounds: int
) -> None:
    found = Federated.model_validate({"clients": {"by": "site"}, "rounds": 9, **options})
    assert rounds_of(FineTuneOptions(federated=True, **step), found, 1000, 10) == rounds
