"""Training the model of a step on the clients of the baseline."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Sequence

import tf_keras

from components.common.base.federated_cost import FederatedCost
from components.common.base.step_options import ClientTuningOptions
from components.common.data.arrays import Arrays
from components.common.models import model_files
from components.common.models.invariants import Asked
from components.common.models.model_files import StepRecord
from components.common.steps.step_executor import StepJob
from components.common.tfmot import ranges
from components.common.training import fitting
from components.common.training.history import History
from components.common.training.learning_rate import next_learning_rate
from components.federated_trainer import client_examples, events
from components.federated_trainer.federation import Federation, OnClients
from components.federated_trainer.params import Federated, OfSteps
from components.federated_trainer.record import RECORD_FILE


def fit(
    job: StepJob[ClientTuningOptions],
    model: tf_keras.Model,
    splits: tuple[Arrays, Arrays],
    callbacks: Sequence[tf_keras.callbacks.Callback],
    keep: Asked,
    or_as_before: bool,
) -> History:
    """Trains a compiled model, whose zeros, shared values and ranges of activations the server has set already.

    Args:
        job: The step.
        model: Gets the trained weights.
        splits: Train and eval examples.
        callbacks: Called after each batch of a client, as Keras does.
        keep: Layer → what its kernel keeps, and what is therefore not sent.
        or_as_before: Whether the model gets the weights back that it began with if they have a lower loss.

    Raises:
        ClientSplitError: If examples cannot be divided among clients.
        TrainingError: If the options do not fit the model, or too few clients finish a round.
    """
    asked = OfSteps.from_canonical(job.federated)
    rule = asked.options.clients
    owned = [client_examples.of_nobody(split) for split in splits]
    if rule.feature is not None:
        specs = model_files.input_specs(model, list(job.examples.feature_spec()), job.examples.label)
        owned = [
            client_examples.load(job.examples, name, specs, rule.feature) for name in ("train", "eval")
        ]
    clients = client_examples.divided(rule, owned[0], owned[1], asked.seed)
    train, evaluation = (
        fitting.as_losses_take(model, split, name)
        for (split, _), name in zip(owned, ("train", "eval"), strict=True)
    )
    rounds = rounds_of(job.options, asked.options, len(train), len(clients.train))
    earlier = StepRecord.read(job.base_model).federated
    before = asked.options.rounds + (earlier.rounds if earlier else 0)
    federation = Federation(
        model,
        (train, evaluation),
        clients,
        asked.of(rounds),
        job.options.examples_per_step(),
        job.seed,
        OnClients(keep, tuple(callbacks), ranges.set_weight_ranges, before),
    )
    start = federation.measure() if or_as_before else {}
    weights = model.get_weights()
    trained = federation.run()
    record = trained.record
    kept = rounds - 1
    if or_as_before and start["loss"] < trained.curves["val_loss"][-1]:
        model.set_weights(weights)
        kept = -1
    record.write(os.path.join(job.output, RECORD_FILE))
    cost = FederatedCost(
        rounds=rounds + (earlier.rounds if earlier else 0),
        bytes_up=record.bytes_up + (earlier.bytes_up if earlier else 0),
        bytes_down=record.bytes_down + (earlier.bytes_down if earlier else 0),
        epsilon=record.epsilon,
    )
    history = History(
        trained.curves,
        trained.steps,
        kept,
        [float(next_learning_rate(model.optimizer))] * rounds,
        {f"val_{name}": value for name, value in start.items()},
        cost,
        record.properties(),
    )
    events.write(history, os.path.join(job.output, "logs"))
    logging.getLogger(__name__).info("clients trained %d rounds", rounds)
    return history


def rounds_of(step: ClientTuningOptions, options: Federated, examples: int, clients: int) -> int:
    """Rounds in which clients go over all training examples as often as a step asks for.

    Args:
        step: The step's options.
        options: Those of the rounds.
        examples: Number of training examples.
        clients: Number of clients.
    """
    passes = step.passes(fitting.steps_per_epoch(step, examples))
    drawn = min(options.clients_per_round or clients, clients)
    return math.ceil(passes * clients / (drawn * options.local_epochs))
