"""Small trainings that tests call in processes of their own: their results are known by other means."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from components.common import distribution, training
from components.common.examples import Arrays

layers = tf_keras.layers
EXAMPLES, BATCH, RATE, EPOCHS, SEED = 100, 32, 0.2, 3, 5
EVALUATED = 71


def arrays(examples: int = EXAMPLES, seed: int = 0) -> Arrays:
    """Points of three classes in the plane."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, examples)
    points = generator.normal(size=(examples, 2)) + np.array([[0, 2], [2, -1], [-2, -1]])[labels]
    return Arrays({"x": points.astype(np.float32)}, labels)


def regression() -> tf_keras.Model:
    """Softmax regression that begins at zero."""
    model = tf_keras.Sequential(
        [layers.Input((2,), name="x"), layers.Dense(3, activation="softmax", kernel_initializer="zeros")]
    )
    model.compile(tf_keras.optimizers.SGD(RATE), "sparse_categorical_crossentropy", ["accuracy"])
    return model


def train(log_dir: str, options: dict[str, Any] | None = None) -> dict[str, Any]:
    """Trains it under the strategy in scope."""
    model = regression()
    options = {"epochs": EPOCHS, "batch_size": BATCH, **(options or {})}
    history = training.fit(model, arrays(), arrays(EVALUATED, 1), options, SEED, log_dir)
    return {
        "weights": model.get_weights(),
        "history": dict(history),
        "steps": history.steps,
        "learning_rates": history.learning_rates,
        "workers": distribution.workers(tf.distribute.get_strategy()),
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
    return network(12)


def build_student(hparams: dict[str, Any]) -> tf_keras.Model:
    return network(8)


def every_step(folder: str, output: str, left_out: tuple[str, ...] = ()) -> dict[str, Any]:
    """Trains a baseline, and lets each technique train it on, with batches of all examples.

    Args:
        folder: With `examples` and `schema`.
        output: Gets a folder for each model.
        left_out: Techniques that are.

    Returns:
        Technique → weights and facts of what it wrote.
    """
    from components.clusterer.executor import cluster
    from components.clusterer.params import ClusterOptions
    from components.common import model_files
    from components.common.examples import Examples
    from components.common.model_definition import ModelDefinition
    from components.distiller.executor import distill
    from components.distiller.params import DistillOptions
    from components.pruner.executor import prune
    from components.pruner.params import PruneOptions
    from components.quantization_aware_trainer.executor import train_quantization_aware
    from components.quantization_aware_trainer.params import QatOptions
    from components.trainer.run_fn import train_baseline
    from tests.components.conftest import make_job, run_step

    examples = Examples(f"{folder}/examples", f"{folder}/schema", None, "label")
    length = {"steps": 6, "batch_size": WHOLE, "learning_rate": 0.05}
    train_baseline(
        examples, f"{output}/train", f"{output}/logs", ModelDefinition(MODULE), dict(length), SEED
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
    return {"regression": train(f"{output}/regression"), "steps": every_step(folder, output)}
