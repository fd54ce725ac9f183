"""Examples as Keras's `fit` and `evaluate` take them: as arrays, or divided among replicas and workers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras

from components.common.data.arrays import Arrays
from components.common.data.column import Values
from components.common.models.strategy import asynchronous, replicas
from components.common.training.strategies import DistributionError

# A function with examples as constants, which a parameter server's workers get, is one protocol buffer.
_MOST_BYTES_OF_CONSTANTS = 2**31 - 2**20

# Indices of examples.
Piece = npt.NDArray[np.int64]


def epoch_batches(examples: int, batch_size: int, parts: int, seed: int, epoch: int) -> list[list[Piece]]:
    """The order of an epoch: batches, each in as many pieces of equal size as there are replicas.

    Keras divides the loss of each replica by the number of its own examples and takes the mean over
    replicas, which is the mean over the batch only if all have as many. The last batch is filled up
    from the beginning of the epoch, by fewer examples than there are replicas.

    Args:
        examples: How many there are.
        batch_size: Size of the whole batch; a multiple of `parts`.
        parts: Replicas.
        seed: Seed of the order, which is another in each epoch.
        epoch: From 0.

    Returns:
        Batches of pieces, which hold indices of examples.
    """
    order = np.random.default_rng([seed, epoch]).permutation(examples)
    missing = -examples % parts
    order = np.concatenate([order, np.resize(order, missing)])
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    return [np.split(batch, parts) for batch in batches]


def evaluation_batches(examples: int, batch_size: int, parts: int) -> list[list[Piece]]:
    """Each example exactly once, in order; pieces may differ by one example, as metrics count them."""
    whole = np.arange(examples)
    batches = [whole[start : start + batch_size] for start in range(0, examples, batch_size)]
    if len(batches) > 1 and len(batches[-1]) < parts:
        batches[-2:] = [np.concatenate(batches[-2:])]
    return [np.array_split(batch, parts) for batch in batches]


def fit_arguments(
    train: Arrays,
    evaluation: Arrays,
    outputs: Sequence[str],
    batch_size: int,
    seed: int,
    steps_per_epoch: int,
) -> dict[str, Any]:
    """The examples as arguments of `Model.fit`, inside of the scope of the strategy to train with.

    Args:
        train: Examples to train on.
        evaluation: Examples to measure after each epoch.
        outputs: Names of the model's outputs, in its order.
        batch_size: Examples in a step, of all replicas together.
        seed: Seed of the order of examples.
        steps_per_epoch: Steps of the whole batch size.

    Raises:
        DistributionError: If a batch cannot be divided evenly.
    """
    refuse_uneven(batch_size, len(train))
    measured = evaluation_arguments(evaluation, outputs, batch_size)
    arguments = {
        "steps_per_epoch": steps_per_epoch,
        "validation_data": measured["x"],
        "validation_steps": measured["steps"],
    }
    if asynchronous():
        return {**arguments, "x": _endless(train, outputs, batch_size, seed)}

    def batches() -> Iterator[list[Piece]]:
        epoch = 0
        while True:
            yield from epoch_batches(len(train), batch_size, replicas_, seed, epoch)
            epoch += 1

    replicas_ = replicas()
    return {**arguments, "x": _distributed(train, outputs, batches)}


def evaluation_arguments(
    evaluation: Arrays, outputs: Sequence[str], batch_size: int = 32
) -> dict[str, Any]:
    """The examples as arguments of `Model.evaluate`, inside of the scope of a strategy.

    Args:
        evaluation: The examples.
        outputs: Names of the model's outputs, in its order.
        batch_size: Examples in a step, of all replicas together.
    """
    if asynchronous():
        return {"x": _at_once(evaluation, outputs), "steps": 1}
    batches = evaluation_batches(len(evaluation), batch_size, replicas())
    return {"x": _distributed(evaluation, outputs, lambda: iter(batches)), "steps": len(batches)}


def refuse_uneven(batch_size: int, examples: int, parts: int | None = None) -> None:
    """Raises a DistributionError if replicas, those in scope by default, would not have equal shares."""
    parts = parts or replicas()
    if batch_size % parts:
        raise DistributionError(
            f"batch_size ({batch_size}) cannot be divided among {parts} replicas; write a multiple of {parts}"
        )
    if examples < parts:
        raise DistributionError(
            f"{examples} examples cannot be divided among {parts} replicas; write distribution: none"
        )


def _distributed(arrays: Arrays, outputs: Sequence[str], batches: Any) -> tf.distribute.DistributedDataset:
    """Batches for the replicas of this process, each of which takes the next piece."""

    def dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        here = context.num_replicas_in_sync // context.num_input_pipelines
        first = context.input_pipeline_id * here

        def pieces() -> Iterator[Piece]:
            for batch in batches():
                yield from batch[first : first + here]

        indices = tf.data.Dataset.from_generator(pieces, output_signature=tf.TensorSpec([None], tf.int64))
        columns = _columns(arrays, outputs)
        taking = (
            _reading(columns) if arrays.in_files() else _taking(tf.nest.map_structure(tf.constant, columns))
        )
        return indices.map(taking).prefetch(tf.data.AUTOTUNE)

    return tf.distribute.get_strategy().distribute_datasets_from_function(dataset)


def _endless(arrays: Arrays, outputs: Sequence[str], batch_size: int, seed: int) -> Any:
    """Endless batches for each of a parameter server's workers, each in a different order."""
    refuse_large(arrays)

    def dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        # A worker does not know its number: without a seed from its own clock all would take the same
        # examples at the same time. What order steps are taken in cannot be repeated anyway.
        clock = tf.cast(tf.timestamp() * 1e6, tf.int64)

        def order(epoch: tf.Tensor) -> tf.data.Dataset:
            # Not Dataset.shuffle, whose seed cannot be a tensor if the global seed is 0.
            keys = tf.random.stateless_uniform([len(arrays)], tf.stack([clock, seed + epoch]))
            return tf.data.Dataset.from_tensor_slices(tf.argsort(keys))

        constants = tf.nest.map_structure(tf.constant, _columns(arrays, outputs))
        epochs = tf.data.Dataset.range(tf.int64.max)
        indices = epochs.flat_map(tf.autograph.experimental.do_not_convert(order))
        return indices.batch(batch_size, drop_remainder=True).map(_taking(constants))

    return tf_keras.utils.experimental.DatasetCreator(dataset)


def _at_once(arrays: Arrays, outputs: Sequence[str]) -> Any:
    """All examples as one batch: of several, each worker would begin with the first one."""
    refuse_large(arrays)

    def dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        return _whole(arrays, outputs).batch(len(arrays)).repeat()

    return tf_keras.utils.experimental.DatasetCreator(dataset)


def _whole(arrays: Arrays, outputs: Sequence[str]) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(_columns(arrays, outputs))


def _taking(columns: Any) -> Callable[[tf.Tensor], Any]:
    """Takes the examples of some indices from columns."""
    return tf.autograph.experimental.do_not_convert(
        lambda chosen: tf.nest.map_structure(functools.partial(tf.gather, indices=chosen), columns)
    )


def _reading(columns: Any) -> Callable[[tf.Tensor], Any]:
    """The same, of columns that may be in files."""
    flat: list[Values] = tf.nest.flatten(columns)

    def read(chosen: tf.Tensor) -> Any:
        values = tf.numpy_function(
            lambda rows: [np.asarray(column[rows]) for column in flat], [chosen], [v.dtype for v in flat]
        )
        for value, column in zip(values, flat, strict=True):
            value.set_shape((None, *column.shape[1:]))
        return tf.nest.pack_sequence_as(columns, values)

    return tf.autograph.experimental.do_not_convert(read)


def _columns(arrays: Arrays, outputs: Sequence[str]) -> tuple[Any, ...]:
    """Features, labels and, if examples do not count alike, their weights, as `fit` takes them."""
    weights = arrays.weights()
    weighed = () if weights is None else (weights,)
    labels = arrays.labels_of(outputs)
    # tf.data would make one tensor of a list.
    return tuple(arrays.features.values()), tuple(labels) if isinstance(labels, list) else labels, *weighed


def refuse_large(arrays: Arrays) -> None:
    """Raises a DistributionError if examples are too many to be sent to a parameter server's workers."""
    labels = arrays.labels.values() if isinstance(arrays.labels, dict) else [arrays.labels]
    values: Sequence[Values] = [*arrays.features.values(), *labels]
    size = sum(value.nbytes for value in values)
    if size > _MOST_BYTES_OF_CONSTANTS:
        raise DistributionError(
            f"examples of {size:,} bytes do not fit into the 2 GB that parameter_server can send to its workers; "
            "write distribution: multi_worker"
        )
