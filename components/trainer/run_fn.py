"""Trains the baseline: the `run_fn` of TFX's Trainer."""

from __future__ import annotations

import json
import os
from typing import Any

from components.common import class_weights, model_files, training, vocabulary
from components.common.examples import Examples
from components.common.model_definition import ModelDefinition
from components.common.model_files import StepRecord
from components.common.step_executor import label_fields
from components.trainer import stages


def run_fn(fn_args: Any) -> None:
    """Trains the user's model and writes it as the folder of a `Model` artifact.

    Args:
        fn_args: TFX's `FnArgs`. `custom_config` holds `model_module`, `hparams`, `model_source` and
            `params` (as in components.trainer.params), all three JSON, `label`, `label_options` (JSON) and
            `seed`.

    Raises:
        UserModuleError: Where the model module does not give a compiled tf_keras model.
        ExamplesError: Where the examples do not fit the model.
        TrainingError: Where training diverges.
    """
    config = fn_args.custom_config
    options = json.loads(config["params"])
    examples = Examples(
        # A file pattern is <uri>/Split-<name>/*.
        uri=os.path.dirname(os.path.dirname(fn_args.train_files[0])),
        schema_uri=os.path.dirname(fn_args.schema_path) if fn_args.schema_path else "",
        transform_uri=fn_args.transform_graph_path,
        label=config["label"],
        **label_fields(config["label_options"]),
    )
    train_baseline(
        examples=examples,
        output=os.path.dirname(fn_args.serving_model_dir),
        log_dir=fn_args.model_run_dir,
        definition=ModelDefinition(
            module=config["model_module"],
            hparams=json.loads(config["hparams"]),
            source=json.loads(config["model_source"]),
        ),
        options=options,
        seed=training.seed_of(options, config["seed"]),
    )


def train_baseline(
    examples: Examples,
    output: str,
    log_dir: str,
    definition: ModelDefinition,
    options: dict[str, Any],
    seed: int,
) -> training.History:
    """Builds, trains and writes the baseline.

    Args:
        examples: `train` and `eval` splits.
        output: Folder to write the model into.
        log_dir: Gets the learning curves, in TensorBoard's format.
        definition: Where the model comes from.
        options: As in components.trainer.params; those that are left out have their defaults, but
            `batch_size`, and `epochs` or `steps`.
        seed: Of initialization and shuffling.

    Returns:
        Metric → its value after each epoch.

    Raises:
        VocabularyError: Where a string label does not fit the model's outputs.
        ClassWeightsError: Where weights do not go with the label or the model.
        UserModuleError: Where the module does not give a compiled model.
        ExamplesError: Where the examples do not fit it.
        TrainingError: Where the options do not go with it, or training diverges.
    """
    training.seed_everything(seed)
    model = definition.build()
    trunk = definition.trunk_of(model)
    classes = examples.vocabulary()
    if classes is not None:
        vocabulary.refuse_other_outputs(classes.names, model.output_shape)
    if examples.class_weights is not None:
        class_weights.refuse_other_tasks(model)
    specs = model_files.input_specs(model, list(examples.feature_spec()), examples.label)
    train = examples.load("train", specs)
    history = stages.train(
        model,
        trunk,
        (train, examples.load("eval", specs)),
        options=options,
        seed=seed,
        log_dir=log_dir,
    )
    model_files.save(model, output, list(specs), StepRecord())
    history.write(output)
    if train.class_weights is not None:
        train.class_weights.write(output)
    return history
