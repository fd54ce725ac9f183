"""Small trainings that tests call in processes of their own: their results are known by other means."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from components.common.base.step_options import Training
from components.common.data.arrays import Arrays
from components.common.data.column import Column, Values
from components.common.training import fitting

layers = tf_keras.layers
EXAMPLES, BATCH, RATE, EPOCHS, SEED = 100, 32, 0.2, 3, 5
EVALUATED = 71


def arrays(examples: int = EXAMPLES, seed: int = 0) -> Arrays:
    """Points of three classes in the plane."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, examples)
    points = generator.normal(size=(examples, 2)) + np.array([[0, 2], [2, -1], [-2, -1]])[labels]
    return Arrays({"x": points.astype(np.float32)}, labels)


# Statistics of batches that are not learnt: of the variables that each replica has a value of its own of.
_MEAN, _VARIANCE, _EPSILON = 0.25, 0.64, 0.01


def regression() -> tf_keras.Model:
    """Softmax regression that begins at zero."""
    scaled = layers.BatchNormalization(
        center=False,
        scale=False,
        epsilon=_EPSILON,
        moving_mean_initializer=tf_keras.initializers.Constant(_MEAN),
        moving_variance_initializer=tf_keras.initializers.Constant(_VARIANCE),
        trainable=False,
        name="scaled",
    )
    model = tf_keras.Sequential(
        [
            layers.Input((2,), name="x"),
            scaled,
            layers.Dense(3, activation="softmax", kernel_initializer="zeros", name="classes"),
        ]
    )
    model.compile(tf_keras.optimizers.SGD(RATE), "sparse_categorical_crossentropy", ["accuracy"])
    return model


def predicted(points: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """What the regression says, in NumPy."""
    values = (points - _MEAN) / np.sqrt(_VARIANCE + _EPSILON) @ kernel + bias
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def by_hand(replicas: int, trained: Arrays | None = None) -> dict[str, Any]:
    """The regression by gradient descent in NumPy, on whole batches, in the order of the epochs.

    Args:
        replicas: That the batches are divided among.
        trained: The examples in the order in which training has them; by default that of `arrays`.
    """
    from components.common.training import batches

    trained, evaluation = trained or arrays(), arrays(EVALUATED, 1)
    points, classes = trained.feature_arrays()["x"].astype(np.float64), np.eye(3)[trained.labels]
    kernel, bias, losses, accuracies = np.zeros((2, 3)), np.zeros(3), [], []
    for epoch in range(EPOCHS):
        for pieces in batches.epoch_batches(len(trained), BATCH, replicas, SEED, epoch):
            batch = np.concatenate(pieces)
            error = (predicted(points[batch], kernel, bias) - classes[batch]) / len(batch)
            kernel -= RATE * ((points[batch] - _MEAN) / np.sqrt(_VARIANCE + _EPSILON)).T @ error
            bias -= RATE * error.sum(axis=0)
        given = predicted(evaluation.features["x"], kernel, bias)
        losses.append(float(-np.log(given[np.arange(len(given)), evaluation.labels]).mean()))
        accuracies.append(float(np.mean(given.argmax(axis=1) == evaluation.labels)))
    return {"weights": [kernel, bias], "val_loss": losses, "val_accuracy": accuracies}


def check_written(uri: str, kernel: np.ndarray, bias: np.ndarray) -> None:
    """Both files of a regression, read without a strategy, predict what NumPy does."""
    from components.common.models import model_files

    points = arrays(EVALUATED, 1).features["x"]
    expected = predicted(points, kernel, bias)
    np.testing.assert_allclose(model_files.load(uri)(points), expected, atol=1e-5)
    signature = tf.saved_model.load(model_files.serving_dir(uri)).signatures["serving_default"]
    np.testing.assert_allclose(signature(x=tf.constant(points))["classes"], expected, atol=1e-5)


def in_files(examples: Arrays, folder: str) -> Arrays:
    """The same examples with features in files, whose rows have another order."""
    os.makedirs(folder, exist_ok=True)
    features: dict[str, Values] = {}
    for name, values in examples.feature_arrays().items():
        order = np.random.default_rng(1).permutation(len(values))
        path = os.path.join(folder, name)
        values[np.argsort(order)].tofile(path)
        features[name] = Column(path, values.dtype, values.shape, order)
    return Arrays(features, examples.labels)


def train(
    log_dir: str, output: str, options: dict[str, Any] | None = None, folder: str = ""
) -> dict[str, Any]:
    """Trains and writes it under the strategy in scope; with examples from files in `folder`, if there is one."""
    from components.common.models import model_files
    from components.common.training import strategies

    model = regression()
    asked = Training(**{"epochs": EPOCHS, "batch_size": BATCH, **(options or {})})
    trained, evaluation = arrays(), arrays(EVALUATED, 1)
    if folder:
        trained, evaluation = in_files(trained, f"{folder}/train"), in_files(evaluation, f"{folder}/eval")
    history = fitting.fit(model, trained, evaluation, asked, SEED, log_dir)
    model_files.save(model, output, ["x"], model_files.StepRecord())
    return {
        "weights": model.get_layer("classes").get_weights(),
        "history": dict(history),
        "steps": history.steps,
        "learning_rates": history.learning_rates,
        "workers": strategies.workers(tf.distribute.get_strategy()),
    }


SCHEMA = """\
feature {
  name: "x"
  type: FLOAT
  presence { min_fraction: 1.0 min_count: 1 }
  shape { dim { size: 2 } }
}
feature {
  name: "label"
  type: INT
  presence { min_fraction: 1.0 min_count: 1 }
  shape { dim { size: 1 } }
}
"""
MODULE = __name__
WHOLE = 48


def network(units: int) -> tf_keras.Model:
    """A network without random initialization and without statistics of batches."""
    generator = np.random.default_rng(3)
    inputs = layers.Input((2,), name="x")
    regularizer = tf_keras.regularizers.L2(0.01)
    hidden = layers.Dense(units, activation="relu", name="hidden", kernel_regularizer=regularizer)(inputs)
    model = tf_keras.Model(inputs, layers.Dense(3, activation="softmax", name="classes")(hidden))
    model.set_weights([generator.normal(size=weight.shape) for weight in model.get_weights()])
    model.compile(tf_keras.optimizers.SGD(RATE), "sparse_categorical_crossentropy", ["accuracy"])
    return model


def build_model(hparams: dict[str, Any]) -> tf_keras.Model:
    return regression() if hparams.get("regression") else network(12)


def build_student(hparams: dict[str, Any]) -> tf_keras.Model:
    return network(8)


def every_step(
    folder: str,
    output: str,
    left_out: tuple[str, ...] = (),
    in_memory: bool | None = None,
    batch_size: int = WHOLE,
) -> dict[str, Any]:
    """Trains a baseline, and lets each technique train it on.

    Args:
        folder: With `examples` and `schema`.
        output: Gets a folder for each model.
        left_out: Techniques that are.
        in_memory: Whether examples are; see `Examples`.
        batch_size: All of them by default.

    Returns:
        Technique → weights and facts of what it wrote.
    """
    from components.clusterer.executor import cluster
    from components.clusterer.params import ClusterOptions
    from components.common.data.examples import Examples
    from components.common.models import model_files
    from components.common.models.model_definition import ModelDefinition
    from components.distiller.executor import distill
    from components.distiller.params import DistillOptions
    from components.pruner.executor import prune
    from components.pruner.params import PruneOptions
    from components.quantization_aware_trainer.executor import train_quantization_aware
    from components.quantization_aware_trainer.params import QatOptions
    from components.trainer.params import TrainOptions
    from components.trainer.run_fn import train_baseline
    from tests.components.conftest import make_job, run_step

    examples = Examples(f"{folder}/examples", f"{folder}/schema", None, "label", in_memory=in_memory)
    length = {"steps": 6, "batch_size": batch_size, "learning_rate": 0.05}
    train_baseline(
        examples, f"{output}/train", f"{output}/logs", ModelDefinition(MODULE), TrainOptions(**length), SEED
    )
    hints = {"hidden": "hidden"}
    steps = [
        ("prune", "train", prune, PruneOptions(sparsity=0.5, frequency="1 steps", **length)),
        ("cluster", "train", cluster, ClusterOptions(clusters=4, **length)),
        ("qat", "prune", train_quantization_aware, QatOptions(**length)),
        ("distill", "train", distill, DistillOptions(features=hints, alpha=0.3, **length)),
    ]
    found: dict[str, Any] = {"train": {"weights": model_files.load(f"{output}/train").get_weights()}}
    for name, base, work, options in steps:
        if name in left_out:
            continue
        job = make_job(
            f"{output}/{base}", f"{output}/{name}", options, examples, definition=ModelDefinition(MODULE)
        )
        facts = run_step(work, job)
        found[name] = {"weights": model_files.load(f"{output}/{name}").get_weights(), "facts": facts}
    return found


def everything(folder: str, output: str) -> dict[str, Any]:
    """Both of the above."""
    return {
        "from_files": train(f"{output}/curves", f"{output}/from_files", folder=f"{output}/values"),
        "steps": every_step(folder, output),
    }
