"""Trains the baseline on clients: the `run_fn` of the federated Trainer."""

from __future__ import annotations

import json
import os
from typing import Any

from components.common.base import json_file
from components.common.base.label import from_parameter
from components.common.data import class_weights, vocabulary
from components.common.data.examples import Examples
from components.common.models import compilation, model_files, output_kind, precision
from components.common.models.model_definition import ModelDefinition
from components.common.models.model_files import StepRecord
from components.common.steps.step_executor import label_fields
from components.common.training import fit_inputs, fitting, history, seeding
from components.common.training.learning_rate import next_learning_rate
from components.federated_trainer import client_examples, events
from components.federated_trainer.federation import Federation
from components.federated_trainer.params import Federated
from components.federated_trainer.record import RECORD_FILE, FederatedRecord
from components.trainer.params import TrainOptions
from components.trainer.run_fn import FACTS_FILE, refuse_misfit


def run_fn(fn_args: Any) -> None:
    """Trains the user's model and writes it as the folder of a `Model` artifact.

    Args:
        fn_args: TFX's `FnArgs`. `custom_config` is that of components.trainer.run_fn, and `federated`
            (JSON, as in components.federated_trainer.params).

    Raises:
        UserModuleError: If the model module does not give a compiled tf_keras model.
        ExamplesError: If the examples do not fit the model.
        ClientSplitError: If examples cannot be divided among clients.
        TrainingError: If the options do not fit the model, or too few clients finish a round.
    """
    config = fn_args.custom_config
    options = TrainOptions.from_canonical(config["params"])
    train_federated(
        examples=Examples(
            # A file pattern is <uri>/Split-<name>/*.
            uri=os.path.dirname(os.path.dirname(fn_args.train_files[0])),
            schema_uri=os.path.dirname(fn_args.schema_path) if fn_args.schema_path else "",
            transform_uri=fn_args.transform_graph_path,
            label=from_parameter(config["label"]),
            **label_fields(config["label_options"]),
        ),
        output=os.path.dirname(fn_args.serving_model_dir),
        log_dir=fn_args.model_run_dir,
        definition=ModelDefinition(
            module=config["model_module"],
            hparams=json.loads(config["hparams"]),
            source=json.loads(config["model_source"]),
        ),
        options=options,
        federated=Federated.from_canonical(config["federated"]),
        seed=seeding.seed_of(options, config["seed"]),
    )


def train_federated(
    examples: Examples,
    output: str,
    log_dir: str,
    definition: ModelDefinition,
    options: TrainOptions,
    federated: Federated,
    seed: int,
) -> FederatedRecord:
    """Builds, trains and writes the baseline.

    Args:
        examples: `train` and `eval` splits.
        output: Folder to write the model into, with federated.json.
        log_dir: Gets the learning curves, in TensorBoard's format.
        definition: Where the model comes from.
        options: Batch size and learning rate of clients.
        federated: Who trains, and how the server takes the mean.
        seed: Seed of initialization, of the clients and of everything random in their training.

    Returns:
        The record of the training.

    Raises:
        VocabularyError: If a string label does not fit the model's outputs.
        ClassWeightsError: If weights do not fit the label or the model.
        UserModuleError: If the module does not give a compiled model.
        ExamplesError: If the examples do not fit it, or do not say whose they are.
        ClientSplitError: If they cannot be divided among clients.
        TrainingError: If the options do not fit the model, or too few clients finish a round.
    """
    seeding.seed_everything(seed)
    model = definition.build()
    trunk = definition.trunk_of(model)
    compilation.compile_like(model, model, options.learning_rate)
    classes = examples.vocabulary()
    if classes is not None:
        vocabulary.refuse_other_outputs(classes.names, model.output_shape)
    if examples.class_weights is not None:
        class_weights.refuse_other_tasks(model)
    specs = model_files.input_specs(model, list(examples.feature_spec()), examples.label)
    client_examples.refuse_client_feature(federated.clients, list(specs))
    (train, of_train), (evaluation, of_eval) = (
        client_examples.load(examples, split, specs, federated.clients.feature)
        for split in ("train", "eval")
    )
    refuse_misfit(model, train, examples.label)
    clients = client_examples.divided(federated.clients, (train, of_train), (evaluation, of_eval), seed)
    splits = (
        fitting.as_losses_take(model, train, "train"),
        fitting.as_losses_take(model, evaluation, "eval"),
    )
    taught = {
        name: split.labels_of(model.output_names)
        for name, split in zip(("train", "eval"), splits, strict=True)
    }
    fitting.refuse_labels(model, taught)
    trained = Federation(model, splits, clients, federated, options.examples_per_step(), seed).run()
    if trunk:
        trunk.release()
    rounds = len(trained.record.rounds)
    rate = float(next_learning_rate(model.optimizer))
    curves = history.History(trained.curves, trained.steps, rounds - 1, [rate] * rounds)
    events.write(curves, log_dir)
    record = StepRecord(logits=output_kind.logits(model))
    model_files.save(model, output, list(specs), record, definition.custom_objects())
    curves.write(output)
    trained.record.write(os.path.join(output, RECORD_FILE))
    if train.class_weights is not None:
        train.class_weights.write(output)
    facts = {**fit_inputs.facts(), "precision": precision.FLOAT32, "precision_asked": precision.FLOAT32}
    json_file.write(os.path.join(output, FACTS_FILE), facts)
    return trained.record


def record_at(uri: str) -> FederatedRecord:
    """The record that training wrote into an artifact's folder."""
    return FederatedRecord.read(os.path.join(uri, RECORD_FILE))
