"""Training on: weights move, what earlier steps achieved does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from components.common.base.step_options import EarlyStopping, LearningRateSchedule
from components.common.models import layer_weights, model_files
from components.common.models.model_files import StepRecord
from components.fine_tuner.executor import fine_tune
from components.fine_tuner.params import FineTuneOptions
from tests.components.conftest import Step, make_job, run_step
from tests.conftest import Digits, Trained

KERNELS = ["conv1", "conv2", "dense", "probabilities"]


@pytest.fixture(scope="module")
def distilled(trained: Trained, mnist_examples: Any, tmp_path_factory: pytest.TempPathFactory) -> Step:
    """A student of the baseline."""
    from components.distiller.executor import distill
    from components.distiller.params import DistillOptions

    output = tmp_path_factory.mktemp("distilled")
    options = DistillOptions(steps=20, batch_size=50)
    return Step(str(output), run_step(distill, make_job(trained.uri, output, options, mnist_examples)))


@pytest.fixture(scope="module")
def tuned(
    request: pytest.FixtureRequest, mnist_examples: Any, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Step]:
    """The model of a fixture, trained on for one epoch; each only once."""
    done: dict[str, Step] = {}

    def make(name: str) -> Step:
        if name not in done:
            base = request.getfixturevalue(name).uri
            output = tmp_path_factory.mktemp(f"{name}-tuned")
            options = FineTuneOptions(batch_size=50, learning_rate=0.001)
            done[name] = Step(
                str(output), run_step(fine_tune, make_job(base, output, options, mnist_examples))
            )
        return done[name]

    return make


CHAINS = {
    "trained": "fine_tune",
    "distilled": "distill-fine_tune",
    "pruned": "prune-fine_tune",
    "clustered": "cluster-fine_tune",
    "pruned_quantization_aware": "prune-qat-fine_tune",
}


def images_of(digits: Digits) -> np.ndarray:
    return digits.images.reshape(-1, 28, 28, 1).astype(np.float32)


def cross_entropy(uri: str, digits: Digits) -> float:
    """Mean over the examples, from the SavedModel that the step wrote."""
    signature = tf.saved_model.load(model_files.serving_dir(uri)).signatures["serving_default"]
    (outputs,) = signature(image=tf.constant(images_of(digits))).values()
    return float(-np.mean(np.log(outputs.numpy()[np.arange(len(digits.labels)), digits.labels] + 1e-7)))


def kernel(model: tf_keras.Model, name: str) -> np.ndarray:
    (layer,) = [layer for layer in model.layers if layer_weights.inner_layer(layer).name == name]
    return next(w for w in layer.weights if w.name.endswith("kernel:0")).numpy()


@pytest.mark.parametrize("base", CHAINS)
def test_training_on_fits_the_data_better(
    base: str, tuned: Callable[[str], Step], request: pytest.FixtureRequest, mnist_arrays: dict[str, Digits]
) -> None:
    before, after = request.getfixturevalue(base).uri, tuned(base)

    loss = cross_entropy(after.uri, mnist_arrays["train"])
    # Statistics of BatchNormalization stay as they are after qat, which leaves less to learn.
    most = 0.99 if base.endswith("quantization_aware") else 0.95
    assert loss < most * cross_entropy(before, mnist_arrays["train"])
    assert after.facts["technique"] == CHAINS[base]
    assert (after.facts["trained_epochs"], after.facts["trained_steps"]) == (1, 30)
    # Facts are those of the file.
    assert cross_entropy(after.uri, mnist_arrays["eval"]) == pytest.approx(
        after.facts["final_val_loss"], rel=0.02
    )


@pytest.mark.parametrize("base", CHAINS)
def test_both_files_hold_the_same_model(
    base: str, tuned: Callable[[str], Step], mnist_arrays: dict[str, Digits]
) -> None:
    uri = tuned(base).uri
    images = images_of(mnist_arrays["eval"])[:50]
    signature = tf.saved_model.load(model_files.serving_dir(uri)).signatures["serving_default"]

    (served,) = signature(image=tf.constant(images)).values()
    np.testing.assert_allclose(served, model_files.load(uri)(images, training=False), atol=1e-6)


@pytest.mark.parametrize("base", ["pruned", "pruned_quantization_aware"])
def test_zeros_stay_where_they_are(
    base: str, tuned: Callable[[str], Step], request: pytest.FixtureRequest
) -> None:
    uri = request.getfixturevalue(base).uri
    before, after = model_files.load(uri), model_files.load(tuned(base).uri)

    moved = 0
    for name in KERNELS:
        was, now = kernel(before, name), kernel(after, name)
        np.testing.assert_array_equal(was == 0, now == 0)
        moved += int(np.sum(was != now))
    assert moved > 500  # of about 1,300 that are not zero
    least = min(np.mean(kernel(after, name) == 0) for name in KERNELS)
    assert least >= 0.795
    assert tuned(base).facts["least_layer_sparsity"] == pytest.approx(least)
    assert StepRecord.read(tuned(base).uri).layers == StepRecord.read(uri).layers


def test_weights_that_share_a_value_go_on_sharing_one(
    tuned: Callable[[str], Step], clustered: Step
) -> None:
    before, after = model_files.load(clustered.uri), model_files.load(tuned("clustered").uri)

    for name in KERNELS:
        was, now = kernel(before, name), kernel(after, name)
        pairs = np.unique(np.stack([was.ravel(), now.ravel()]), axis=1).shape[1]
        assert pairs == len(np.unique(was)) == len(np.unique(now)) <= 16
        assert np.mean(was != now) > 0.9  # the values themselves were trained
    assert tuned("clustered").facts["most_layer_clusters"] <= 16


def test_a_quantization_aware_model_stays_one(
    pruned_quantization_aware: Step,
    tuned: Callable[[str], Step],
    converted: Callable[..., Step],
    mnist_arrays: dict[str, Digits],
) -> None:
    base = "pruned_quantization_aware"
    before, after = model_files.load(pruned_quantization_aware.uri), model_files.load(tuned(base).uri)

    assert [layer.name for layer in after.layers] == [layer.name for layer in before.layers]
    ranges = [
        {w.name: float(w) for w in model.get_layer("quant_dense").weights if "activation_m" in w.name}
        for model in (before, after)
    ]
    assert len(ranges[0]) == 2 and ranges[0] != ranges[1]
    # What it learnt about int8 reaches the file.
    from ai_edge_litert.interpreter import Interpreter

    file = converted(tuned(base).uri, "int8").uri
    runner = Interpreter(model_files.tflite_file(file)).get_signature_runner("serving_default")
    images = images_of(mnist_arrays["eval"])[:100]
    answers = [np.argmax(next(iter(runner(image=image[np.newaxis]).values()))) for image in images]
    expected = np.argmax(after(images, training=False), axis=1)
    assert np.mean(np.array(answers) == expected) >= 0.97


def test_it_can_be_repeated(
    pruned: Step, tuned: Callable[[str], Step], mnist_examples: Any, tmp_path: Path
) -> None:
    options = FineTuneOptions(batch_size=50, learning_rate=0.001)
    run_step(fine_tune, make_job(pruned.uri, tmp_path, options, mnist_examples))

    one, other = model_files.load(tuned("pruned").uri), model_files.load(str(tmp_path))
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_schedule_and_early_stopping_go_with_zeros(
    pruned: Step, mnist_examples: Any, mnist_arrays: dict[str, Digits], tmp_path: Path
) -> None:
    options = FineTuneOptions(
        steps=135,
        batch_size=50,
        learning_rate=1.0,  # rises until it is far too high
        learning_rate_schedule=LearningRateSchedule(kind="linear", warmup=0.9, end=0.5),
        early_stopping=EarlyStopping(patience=1),
    )
    facts = run_step(fine_tune, make_job(pruned.uri, tmp_path, options, mnist_examples))

    losses, accuracies = (
        [
            float(tf.make_ndarray(event.tensor_proto))
            for event in EventAccumulator(str(tmp_path / "logs/validation")).Reload().Tensors(tag)
        ]
        for tag in ("epoch_loss", "epoch_accuracy")
    )
    assert len(losses) == facts["trained_epochs"] > facts["kept_epoch"]
    best = int(np.argmin(losses))
    assert facts["kept_epoch"] == best + 1
    assert facts["final_val_loss"] == losses[best]
    digits = mnist_arrays["eval"]
    answers = model_files.load(str(tmp_path))(images_of(digits), training=False).numpy().argmax(axis=1)
    assert np.mean(answers == digits.labels) == pytest.approx(accuracies[best], abs=1e-6)
    assert accuracies[best] != pytest.approx(accuracies[-1], abs=1e-6)
    before, after = model_files.load(pruned.uri), model_files.load(str(tmp_path))
    for name in KERNELS:
        np.testing.assert_array_equal(kernel(before, name) == 0, kernel(after, name) == 0)


def test_once_more_is_another_step(
    tuned: Callable[[str], Step], mnist_examples: Any, tmp_path: Path
) -> None:
    options = FineTuneOptions(steps=3, batch_size=50)
    facts = run_step(fine_tune, make_job(tuned("pruned").uri, tmp_path, options, mnist_examples))

    assert facts["technique"] == "prune-fine_tune-fine_tune"
    assert facts["trained_steps"] == 3
    assert [step.get("steps") for step in StepRecord.read(str(tmp_path)).steps] == [None, None, 3]
    assert facts["least_layer_sparsity"] >= 0.795
