"""What the steps that train on with a wrapped model have in common."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import tf_keras

from components.common import layer_weights, model_files, training
from components.common.examples import Arrays
from components.common.model_files import Facts, StepRecord
from components.common.sparsity import refuse_lost_sparsity
from components.common.step_executor import StepJob


class KeepZeros(tf_keras.callbacks.Callback):
    """Sets weights that were zero when training began to zero again after each batch.

    Nothing else keeps those of an earlier pruning: TFMOT's scheme for quantization-aware training masks
    a kernel where it is used, but optimizers move the variable underneath, which a later step loads.
    """

    def __init__(self, layers: list[str]):
        super().__init__()
        self._layers = layers
        self._masks: list[tuple] = []

    def on_train_begin(self, logs: dict | None = None) -> None:
        for layer in self.model.layers:
            if layer_weights.plain_name(layer.name) in self._layers:
                kernel = layer_weights.kernel_of(layer)
                self._masks.append((kernel, (kernel.numpy() != 0).astype(kernel.dtype.as_numpy_dtype)))

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        for kernel, mask in self._masks:
            kernel.assign(kernel * mask)


def load_splits(job: StepJob, model: tf_keras.Model) -> tuple[Arrays, Arrays]:
    """The `train` and `eval` examples as a model takes them."""
    features = list(job.examples.feature_spec())
    specs = model_files.input_specs(model, features, job.examples.label)
    return job.examples.load("train", specs), job.examples.load("eval", specs)


def fit_and_save(
    job: StepJob,
    model: tf_keras.Model,
    splits: tuple[Arrays, Arrays],
    record: StepRecord,
    finish: Callable[[tf_keras.Model], tf_keras.Model] = lambda model: model,
    callbacks: Sequence[tf_keras.callbacks.Callback] = (),
) -> Facts:
    """Trains a compiled model, checks that it kept what it has to, and writes it.

    Args:
        job: With `epochs` and `batch_size` among its options.
        model: Compiled.
        splits: As `load_splits` returns them.
        record: What will have made the model.
        finish: Takes off what only training needs.
        callbacks: Further Keras callbacks.

    Returns:
        Facts for lineage: technique, final metrics, parameters, least sparsity of a pruned layer.

    Raises:
        LostSparsityError: Where a layer has less sparsity than `record` says.
    """
    history = training.fit(
        model,
        *splits,
        epochs=job.options["epochs"],
        batch_size=job.options["batch_size"],
        log_dir=os.path.join(job.output, "logs"),
        callbacks=callbacks,
    )
    model = finish(model)
    measured = layer_weights.keras_sparsity(model, record.sparsity)
    refuse_lost_sparsity(measured, record.sparsity)
    model_files.save(model, job.output, list(splits[0].features), record)
    facts: Facts = {
        "technique": "-".join(record.techniques()),
        "parameters": int(model.count_params()),
    }
    if measured:
        facts["least_layer_sparsity"] = min(measured.values())
    for name, values in history.items():
        facts[f"final_{name}"] = values[-1]
    return facts
