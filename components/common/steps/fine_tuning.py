"""What the steps that train on with a wrapped model have in common."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from components.common.data import class_weights
from components.common.data.arrays import Arrays
from components.common.models import compilation, invariants, layer_weights, model_files
from components.common.models.freezing import Frozen, layers_matching
from components.common.models.invariants import Invariants
from components.common.models.model_files import Facts, StepRecord
from components.common.steps.step_executor import StepJob
from components.common.training import fit_inputs, fitting


class Preserve(tf_keras.callbacks.Callback):
    """Puts back, after each batch, what earlier steps achieved: zeros, and weights that share a value.

    Optimizers move every weight by itself. Weights that were zero when training began become zero again;
    those that shared a value get their mean, so that the value itself is trained: "trained quantization
    and weight sharing" of Han, Mao and Dally, "Deep Compression" (2016), https://arxiv.org/abs/1510.00149.
    TFMOT's own schemes mask or cluster a kernel where it is used and let the variable underneath, which a
    later step loads, drift away; its cluster-preserving one also turns to clusters per channel by itself.
    """

    def __init__(self, layers: Mapping[str, Invariants]):
        super().__init__()
        self._layers = layers
        # With parameter servers Keras takes no callback that has to see batches, as this one then need not.
        self._supports_tf_logs = not layers
        self._kept: list[tuple[Any, Any]] = []

    def on_train_begin(self, logs: dict | None = None) -> None:
        self._kept = []
        for layer in self.model.layers:
            asked = self._layers.get(layer_weights.plain_name(layer.name))
            if asked is not None:
                kernel = layer_weights.kernel_of(layer)
                self._kept.append((kernel, _projection(kernel, asked)))

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        for kernel, project in self._kept:
            kernel.assign(project(kernel))


def _projection(kernel: Any, asked: Invariants) -> Callable[[Any], tf.Tensor]:
    """What takes a kernel back to the nearest one that has today's zeros and today's equal weights."""
    values = kernel.numpy()
    mask = (values != 0).astype(values.dtype) if asked.has_zeros() else None
    if asked.clusters is None:
        return lambda weights: weights * mask
    if asked.per_channel:
        # Output channels come last in the kernels that TFMOT clusters per channel.
        channels = np.broadcast_to(np.arange(values.shape[-1]), values.shape)
        pairs = np.stack([channels.ravel(), values.ravel()], axis=1)
        _, groups = np.unique(pairs, axis=0, return_inverse=True)
    else:
        _, groups = np.unique(values, return_inverse=True)
    groups = tf.constant(groups.ravel(), tf.int32)
    count = int(tf.reduce_max(groups)) + 1

    def project(weights: Any) -> tf.Tensor:
        means = tf.math.unsorted_segment_mean(tf.reshape(weights, [-1]), groups, count)
        shared = tf.reshape(tf.gather(means, groups), weights.shape)
        return shared if mask is None else shared * mask

    return project


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
    first_epoch_to_stop: int = 0,
) -> Facts:
    """Trains a compiled model, checks that it kept what it has to, and writes it.

    Args:
        job: Its options say how to train, as `components.common.base.step_options.Training`.
        model: Compiled.
        splits: As `load_splits` returns them.
        record: What will have made the model.
        finish: Takes off what only training needs.
        callbacks: Further Keras callbacks.
        first_epoch_to_stop: Index of the first epoch that early stopping looks at.

    Returns:
        Facts for lineage: technique, final metrics, parameters, and `layers`, JSON of what
        `invariants.facts_of` says of each layer; `distribution` and `replicas`; where they were asked for,
        `least_layer_sparsity`, `most_layer_clusters` and `class_weights`.

    Raises:
        FreezingError: Where the patterns of layers to freeze do not fit the model.
        LostInvariantError: Where a layer does not keep what `record` says.
    """
    frozen = Frozen(model)
    frozen.freeze(layers_matching(model, job.options.get("freeze") or []))
    if frozen.names():
        compilation.compile_anew(model)
    history = fitting.fit(
        model,
        *splits,
        options=job.options,
        seed=job.seed,
        log_dir=os.path.join(job.output, "logs"),
        callbacks=[frozen.hold(), *callbacks],
        first_epoch_to_stop=first_epoch_to_stop,
    )
    frozen.thaw_all()
    model = finish(model)
    kernels = layer_weights.kernels(model)
    checks = invariants.check(kernels, record.layers)
    invariants.refuse_lost(checks)
    objects = job.definition.custom_objects()
    model_files.save(model, job.output, list(splits[0].features), record, objects)
    history.write(job.output)
    facts: Facts = {
        "technique": "-".join(record.techniques()),
        "parameters": int(model.count_params()),
        "layers": json.dumps(invariants.facts_of(kernels)),
        **fit_inputs.facts(),
        **invariants.headline(checks),
    }
    if splits[0].class_weights is not None:
        facts[class_weights.PROPERTY] = splits[0].class_weights.fact()
    facts.update(history.facts())
    return facts
