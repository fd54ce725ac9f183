"""Distributions of training that cannot work, by the config, TF_CONFIG, or the devices of this machine."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from components.common.base.distribution_options import TF_CONFIG, Distribution, cluster_task
from components.common.base.step_options import StepOptions, Training, TrainingOptions, distribution_of
from components.common.models.invariants import kept
from components.registry import technique_of
from pipeline.config.config import Config
from pipeline.config.problem import Location, Problem

_OWN_WAY = "write distribution: none in this step, or mirrored or multi_worker, which take steps together"


@dataclass(frozen=True)
class Distributed:
    """A training of a config.

    Attributes:
        at: Its location.
        options: As written.
        asked: Its distribution: as written, or that of the baseline.
        batch_size: As written, or that of the baseline.
        before: Steps before it in its chain.
    """

    at: Location
    options: Training
    asked: Distribution
    batch_size: int
    before: list[StepOptions]

    def name(self) -> str:
        """The technique, or a text for the baseline."""
        return getattr(self.options, "technique", "the training")

    def blame(self, option: str) -> Location:
        """Location of the option if it is written; else of the step, which gets the option from model.train."""
        return (*self.at, option) if option in self.options.model_fields_set else self.at


def trainings(config: Config) -> Iterator[Distributed]:
    """Each training of a config: that of the baseline, and those of the steps."""
    train = config.model.train
    yield Distributed(("model", "train"), train, train.distribution, train.batch_size, [])
    for name, chain in config.candidates.items():
        steps = chain.steps()
        for index, step in enumerate(steps):
            if isinstance(step, TrainingOptions):
                asked = step.like(config.model.baseline())
                at = ("candidates", name, index, step.technique)
                yield Distributed(
                    at, step, distribution_of(asked), asked.examples_per_step(), steps[:index]
                )


def check(config: Config, environment: Mapping[str, str] = os.environ) -> Iterator[Problem]:
    """Problems of the config and TF_CONFIG."""
    fault = _fault_of_tf_config(environment)
    for found in trainings(config):
        asked = found.asked
        if fault and asked.processes():
            yield Problem(fault, (*found.at, "distribution"))
            fault = ""
        parts = asked.parts()
        if asked.kind == "multi_worker" and cluster_task_or_none(environment):
            parts = None  # the cluster's own number
        if parts and found.batch_size % parts and not _said_of_baseline(found, config):
            yield Problem(_uneven(found, parts), found.blame("batch_size"))
        reason = _not_asynchronous(found) if asked.kind == "parameter_server" else ""
        if reason:
            yield Problem(
                f"{found.name()} cannot be distributed by parameter_server: {reason}; {_OWN_WAY}",
                found.blame("distribution"),
            )


def _said_of_baseline(found: Distributed, config: Config) -> bool:
    """Whether a step only repeats a mistake of the baseline's training, whose options it has."""
    own = found.options.model_fields_set & {"batch_size", "distribution"}
    step = found.options is not config.model.train
    return step and not own and found.batch_size == config.model.train.batch_size


def _uneven(found: Distributed, parts: int) -> str:
    return (
        f"batch_size ({found.batch_size}) cannot be divided evenly among the {parts} replicas of "
        f"distribution: {found.asked.kind}; write a multiple of {parts}"
    )


def _not_asynchronous(training: Distributed) -> str:
    step = training.options
    own = technique_of(step).asynchronous if isinstance(step, TrainingOptions) else ""
    if own:
        return own
    found = kept(kind for step in training.before for kind in technique_of(step).invariants)
    if found:
        return (
            f"the {found} of earlier steps are restored after each step, but workers of a parameter server take "
            "theirs at different times"
        )
    return ""


def cluster_task_or_none(environment: Mapping[str, str]) -> tuple[str, int] | None:
    """This process's part in a cluster; None if there is none, or TF_CONFIG cannot be read."""
    return None if _fault_of_tf_config(environment) else cluster_task(environment)


def _fault_of_tf_config(environment: Mapping[str, str]) -> str:
    try:
        config = json.loads(environment.get(TF_CONFIG) or "{}")
    except ValueError as error:
        return f"the environment variable TF_CONFIG is not JSON ({error}); fix or unset it"
    if not isinstance(config, dict) or not isinstance(config.get("cluster", {}), dict):
        return 'TF_CONFIG is not {"cluster": {…}, "task": {…}}; fix or unset it'
    if config.get("cluster"):
        task: Any = config.get("task")
        known = isinstance(task, dict) and isinstance(task.get("index"), int)
        if not known or not 0 <= task["index"] < len(config["cluster"].get(task.get("type"), [])):
            return (
                f"TF_CONFIG does not name a task of its cluster (task: {json.dumps(task)}); fix or unset it"
            )
    return ""


def check_machine(config: Config) -> Iterator[Problem]:
    """Problems with the devices that TensorFlow finds on this machine."""
    import tensorflow as tf

    from components.common.training import strategies

    gpus = len(tf.config.list_physical_devices("GPU"))
    for found in trainings(config):
        asked = found.asked
        named = asked.name or os.environ.get("TPU_NAME")
        if asked.kind == "tpu" and not named and not tf.config.list_physical_devices("TPU"):
            yield Problem(strategies.no_tpu(asked.name), found.blame("distribution"))
        if asked.kind == "mirrored" and asked.devices is None and gpus > 1 and found.batch_size % gpus:
            yield Problem(_uneven(found, gpus), found.blame("batch_size"))


def check_cluster(config: Config, product: str) -> Iterator[Problem]:
    """Trainings that a task of a pipeline on a cluster, which is one pod, cannot do."""
    for found in trainings(config):
        if found.asked.processes() and "distribution" in found.options.model_fields_set:
            yield Problem(
                f"a task of {product} is one pod, and {found.asked.kind} needs several: write mirrored, with GPUs by "
                "kubeflow.nodes.<node>.accelerator, or train the model beside the pipeline, where an operator "
                "sets TF_CONFIG in each pod (docs/distribution.md)",
                (*found.at, "distribution"),
            )
