"""A training that is divided among replicas is the training that it would be on one of them."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from components.common.base import progress
from components.common.base.distribution_options import Distribution
from components.common.data.examples import Examples
from components.common.models import model_files
from components.common.training import batches, distributed, strategies
from components.common.training.batches import epoch_batches, evaluation_batches
from components.common.training.strategies import DistributionError
from components.tflite_converter.executor import convert_model
from components.tflite_converter.params import ConvertOptions
from pipeline.plan.code_version import DISTRIBUTED
from tests.components.common.training import distributed_problem as problem
from tests.components.conftest import make_job, run_step
from tests.conftest import to_example, write_examples

TWO = Distribution(kind="mirrored", devices=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Examples of the problem, as TFX writes them."""
    rows = {
        split: [
            to_example({"x": x, "label": label})
            for x, label in zip(arrays.features["x"], arrays.labels, strict=True)
        ]
        for split, arrays in {"train": problem.arrays(problem.WHOLE), "eval": problem.arrays(21, 1)}.items()
    }
    return str(write_examples(tmp_path_factory.mktemp("problem"), problem.SCHEMA, **rows))


@pytest.fixture(scope="module")
def mirrored(folder: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The result of two parts of the CPU, and the reports of the process."""
    reports: list[progress.Report] = []
    with progress.listening(reports.append):
        output = str(tmp_path_factory.mktemp("mirrored"))
        arguments = {"folder": folder, "output": output}
        found = distributed.perform(TWO, problem.everything, arguments, ("output",))
    return {**found, "reports": reports, "output": output}


@pytest.fixture(scope="module")
def plain(folder: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The result of a process without strategies, and its modules at the end."""
    output = tmp_path_factory.mktemp("plain")
    script = """
        import pathlib, pickle, sys
        from tests.components.common.training import distributed_problem
        found = distributed_problem.every_step(sys.argv[1], sys.argv[2])
        result = pickle.dumps({"steps": found, "modules": set(sys.modules)})
        pathlib.Path(sys.argv[2], "result").write_bytes(result)
    """
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), folder, str(output)],
        check=True,
        capture_output=True,
    )
    return pickle.loads((output / "result").read_bytes())


@pytest.fixture(scope="module")
def single(plain: dict[str, Any]) -> dict[str, Any]:
    return plain["steps"]


def test_a_plain_training_executes_no_module_of_distributed_training(plain: dict[str, Any]) -> None:
    """`pipeline.plan.code_version` does not count them for such a node."""
    assert sorted(plain["steps"]) == ["cluster", "distill", "prune", "qat", "train"]
    assert not set(DISTRIBUTED) & plain["modules"]


def test_two_replicas_train_from_files_and_write_what_numpy_does(mirrored: dict[str, Any]) -> None:
    trained, expected = mirrored["from_files"], problem.by_hand(2)
    for weight, other in zip(trained["weights"], expected["weights"], strict=True):
        np.testing.assert_allclose(weight, other, atol=1e-5)
    assert trained["history"]["val_loss"] == pytest.approx(expected["val_loss"], abs=1e-5)
    assert trained["history"]["val_accuracy"] == pytest.approx(expected["val_accuracy"], abs=1e-6)
    assert trained["steps"] == problem.EPOCHS * 4
    assert trained["workers"] == 2
    problem.check_written(f"{mirrored['output']}/from_files", *expected["weights"])


def test_a_baseline_of_two_replicas_is_converted_as_any_other(
    mirrored: dict[str, Any], folder: str, tmp_path: Path
) -> None:
    baseline = f"{mirrored['output']}/train"
    facts = json.loads(Path(baseline, "training.json").read_text(encoding="utf-8"))
    assert (facts["distribution"], facts["replicas"]) == ("mirrored", 2)
    assert {"Format-Keras", "Format-Serving", "history.json"} <= {
        path.name for path in Path(baseline).iterdir()
    }
    examples = Examples(f"{folder}/examples", f"{folder}/schema", None, "label")
    job = make_job(baseline, tmp_path / "tflite", ConvertOptions(quantization="float32"), examples)
    run_step(convert_model, job)
    runner = Interpreter(model_files.tflite_file(job.output)).get_signature_runner("serving_default")
    points = problem.arrays(21, 1).features["x"]
    given = np.concatenate([runner(x=point[None])["classes"] for point in points])
    np.testing.assert_allclose(given, model_files.load(baseline)(points), atol=1e-5)


def test_progress_comes_from_the_other_process(mirrored: dict[str, Any]) -> None:
    first, *others = mirrored["reports"]
    assert first == progress.Report("distribution: mirrored, 2 replicas", progress.Kind.NOTE)
    assert any(one.line().startswith("epoch 3/3, loss ") for one in others)


@pytest.mark.parametrize("technique", ["train", "prune", "cluster", "distill"])
def test_every_technique_gives_the_weights_of_a_single_run(
    technique: str, mirrored: dict[str, Any], single: dict[str, Any]
) -> None:
    ours, theirs = mirrored["steps"][technique], single[technique]
    for weight, other in zip(ours["weights"], theirs["weights"], strict=True):
        np.testing.assert_allclose(weight, other, atol=1e-5)
    if technique == "train":
        return
    own = {"distribution", "replicas"}
    for name in theirs["facts"].keys() - own:
        value, other = ours["facts"][name], theirs["facts"][name]
        assert value == (pytest.approx(other, rel=1e-5) if isinstance(other, float) else other), name


def test_quantization_aware_training_keeps_zeros_and_learns(mirrored: dict[str, Any]) -> None:
    """Ranges of activations are means over the replicas' own, so it is not exactly the same as a single run."""
    facts = mirrored["steps"]["qat"]["facts"]
    assert facts["least_layer_sparsity"] >= 0.5
    assert facts["final_loss"] < mirrored["steps"]["prune"]["facts"]["final_loss"]
    pruned = mirrored["steps"]["prune"]["weights"][0]
    kernels = [weight for weight in mirrored["steps"]["qat"]["weights"] if weight.shape == pruned.shape]
    assert any(np.array_equal(kernel == 0, pruned == 0) for kernel in kernels)


def test_replicas_are_facts_of_the_model(mirrored: dict[str, Any]) -> None:
    facts = mirrored["steps"]["prune"]["facts"]
    assert (facts["distribution"], facts["replicas"]) == ("mirrored", 2)


@pytest.mark.timeout(300)
def test_a_parameter_server_measures_each_example_once_and_writes_the_model(tmp_path: Path) -> None:
    asked = Distribution(kind="parameter_server")
    options = {
        "early_stopping": {"patience": 3},
        "learning_rate_schedule": {"kind": "constant", "warmup": 0.1},
    }
    arguments = {"log_dir": str(tmp_path / "logs"), "output": str(tmp_path / "model"), "options": options}
    trained = distributed.perform(asked, problem.train, arguments, ("log_dir", "output"))
    evaluation = problem.arrays(problem.EVALUATED, 1)
    kernel, bias = trained["weights"]
    given = problem.predicted(evaluation.features["x"], kernel, bias)

    assert trained["workers"] == 2 and trained["steps"] == problem.EPOCHS * 4
    loss = -np.log(given[np.arange(len(given)), evaluation.labels]).mean()
    assert trained["history"]["val_loss"][-1] == pytest.approx(loss, abs=1e-5)
    accuracy = np.mean(given.argmax(axis=1) == evaluation.labels)
    assert trained["history"]["val_accuracy"][-1] == pytest.approx(accuracy, abs=1e-6)
    assert accuracy > 0.85
    problem.check_written(str(tmp_path / "model"), kernel, bias)


@pytest.mark.parametrize("seed", [0, 7])
def test_a_parameter_server_s_worker_takes_each_example_once_an_epoch(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A process of a parameter server is not deterministic; this one may be, and then there is no clock.
    monkeypatch.setattr(tf, "timestamp", lambda: tf.constant(1.5e9, tf.float64))
    tf.random.set_seed(seed)  # Dataset.shuffle fails in a function if this is 0
    arrays = problem.arrays(20, 1)
    creator = batches._endless(arrays, ["y"], 5, seed)

    @tf.function
    def two_epochs() -> tf.Tensor:
        taken = tf.TensorArray(tf.float32, 8)
        for step, ((x,), *_) in creator(tf.distribute.InputContext()).take(8).enumerate():
            taken = taken.write(tf.cast(step, tf.int32), tf.cast(x, tf.float32))
        return taken.concat()

    taken = two_epochs().numpy()
    first, second = taken[:20], taken[20:]
    x = arrays.features["x"].astype(np.float32)
    assert not np.array_equal(first, second) and not np.array_equal(first, x)
    for epoch in (first, second):
        np.testing.assert_array_equal(np.sort(epoch, axis=0), np.sort(x, axis=0))
        assert {row.tobytes() for row in epoch} == {row.tobytes() for row in x}


@pytest.mark.parametrize("parts", [1, 2, 4])
@pytest.mark.parametrize("examples", [8, 96, 97, 99, 100])
def test_a_batch_has_equal_shares_and_an_epoch_all_examples(examples: int, parts: int) -> None:
    batches = epoch_batches(examples, 32, parts, seed=1, epoch=2)

    assert len(batches) == -(-examples // 32)
    for pieces in batches:
        assert len(pieces) == parts and len({len(piece) for piece in pieces}) == 1
    taken = np.concatenate([np.concatenate(pieces) for pieces in batches])
    assert set(taken) == set(range(examples)) and len(taken) - examples < parts


def test_the_order_does_not_depend_on_the_replicas_but_on_seed_and_epoch() -> None:
    def order(parts: int, seed: int, epoch: int) -> list[int]:
        return [int(i) for pieces in epoch_batches(64, 16, parts, seed, epoch) for p in pieces for i in p]

    assert order(1, 3, 0) == order(2, 3, 0) == order(4, 3, 0) != sorted(order(1, 3, 0))
    assert order(1, 3, 0) != order(1, 3, 1) and order(1, 3, 0) != order(1, 4, 0)


@pytest.mark.parametrize("parts", [1, 2, 4])
@pytest.mark.parametrize("examples", [4, 31, 32, 33, 64])
def test_each_example_is_measured_once(examples: int, parts: int) -> None:
    batches = evaluation_batches(examples, 32, parts)

    assert all(len(pieces) == parts and all(len(piece) for piece in pieces) for pieces in batches)
    assert [int(i) for pieces in batches for piece in pieces for i in piece] == list(range(examples))


def test_mirrored_on_one_device_is_one_replica_and_says_so(tmp_path: Path) -> None:
    reports: list[progress.Report] = []
    with progress.listening(reports.append):
        arguments = {"log_dir": str(tmp_path / "logs"), "output": str(tmp_path / "model")}
        trained = distributed.perform(Distribution(kind="mirrored"), problem.train, arguments)
    expected = problem.by_hand(1)

    assert reports[0].text == (
        "distribution: mirrored finds one device and trains on it as a single replica"
    )
    np.testing.assert_allclose(trained["weights"][0], expected["weights"][0], atol=1e-5)
    assert trained["workers"] == 1


def test_what_cannot_be_divided_is_refused() -> None:
    strategy = tf.distribute.MirroredStrategy(["/cpu:0"])
    with strategy.scope():
        batches.refuse_uneven(7, 7)
    with pytest.raises(
        DistributionError, match=re.escape("batch_size (7) cannot be divided among 2 replicas")
    ):
        batches.refuse_uneven(7, 100, parts=2)
    with pytest.raises(DistributionError, match="1 examples cannot be divided among 2 replicas"):
        batches.refuse_uneven(8, 1, parts=2)


def test_a_machine_without_tpu_is_reported_with_what_was_looked_for() -> None:
    with pytest.raises(DistributionError, match=r"distribution: tpu finds no TPU: .*a TPU of this machine"):
        strategies.strategy_of(Distribution(kind="tpu"))
