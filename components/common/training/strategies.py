"""Training on several devices or machines: tf.distribute's strategies."""

from __future__ import annotations

import os
from typing import Any

import tensorflow as tf
import tf_keras

from components.common.base.distribution_options import Distribution
from components.common.base.errors import ParedownError
from components.common.models.strategy import asynchronous


class DistributionError(ParedownError):
    """Training cannot be distributed as asked; the message says why and what to write instead."""


def strategy_of(asked: Distribution) -> tf.distribute.Strategy:
    """Makes the strategy. Several processes: in each of them, before anything else of TensorFlow.

    Args:
        asked: Other than `none`.

    Raises:
        DistributionError: If the devices are not there.
    """
    if asked.kind == "multi_worker":
        return tf.distribute.MultiWorkerMirroredStrategy()
    if asked.kind == "parameter_server":
        return tf.distribute.ParameterServerStrategy(_resolver())
    if asked.kind == "tpu":
        return _tpu_strategy(asked.name)
    if asked.devices is None:
        return tf.distribute.MirroredStrategy(mirrored_devices())
    return tf.distribute.MirroredStrategy([f"/cpu:{index}" for index in range(asked.devices)])


def _resolver() -> tf.distribute.cluster_resolver.ClusterResolver:
    return tf.distribute.cluster_resolver.TFConfigClusterResolver()


def mirrored_devices() -> list[str]:
    """The devices of replicas: each GPU, or the one CPU."""
    gpus = tf.config.list_logical_devices("GPU")
    return [f"/gpu:{index}" for index in range(len(gpus))] or ["/cpu:0"]


class OneStatistic(tf_keras.callbacks.Callback):
    """Lets all replicas measure with the statistics of batches that are written: means over the replicas' own.

    Each replica gathers those of BatchNormalization by itself, and would be measured by them too.
    """

    def on_test_begin(self, logs: Any = None) -> None:
        if asynchronous():
            return
        for weight in self.model.weights:
            by_itself = weight.synchronization == tf.VariableSynchronization.ON_READ
            if by_itself and weight.aggregation == tf.VariableAggregation.MEAN:
                weight.assign(weight.read_value())


def divide_cpu(devices: int) -> None:
    """Makes the CPU pass for several devices, before TensorFlow has used it.

    Raises:
        RuntimeError: If it has.
    """
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)


def _tpu_strategy(name: str) -> tf.distribute.Strategy:
    try:
        tpu = name or os.environ.get("TPU_NAME") or "local"
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=tpu)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, RuntimeError, tf.errors.OpError) as error:
        raise DistributionError(f"{no_tpu(name)} ({str(error).splitlines()[0]})") from error
    return tf.distribute.TPUStrategy(resolver)


def no_tpu(name: str) -> str:
    """The error if there is no TPU."""
    looked = f"a TPU named {name!r}" if name else "a TPU of this machine (libtpu, or TPU_NAME)"
    return (
        f"distribution: tpu finds no TPU: TensorFlow's resolver looked for {looked}; run on a "
        "machine with one, or write distribution: mirrored"
    )


def facts_of(strategy: tf.distribute.Strategy) -> dict[str, str | int]:
    """Facts about a training: `distribution`, as in the option, and the number of `replicas`."""
    kinds = {
        tf.distribute.MultiWorkerMirroredStrategy: "multi_worker",
        tf.distribute.ParameterServerStrategy: "parameter_server",
        tf.distribute.TPUStrategy: "tpu",
        tf.distribute.MirroredStrategy: "mirrored",
    }
    kind = next((kind for made, kind in kinds.items() if isinstance(strategy, made)), "none")
    return {"distribution": kind, "replicas": workers(strategy)}


def workers(strategy: tf.distribute.Strategy) -> int:
    """How many compute gradients at the same time: replicas in step, or a parameter server's workers."""
    if isinstance(strategy, tf.distribute.ParameterServerStrategy):
        return _resolver().cluster_spec().num_tasks("worker")
    return strategy.num_replicas_in_sync
