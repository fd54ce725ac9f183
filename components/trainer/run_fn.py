"""Trains the baseline: the `run_fn` of TFX's Trainer."""

from __future__ import annotations

import json
import math
import os
from typing import Any

from components.common.base import json_file, progress
from components.common.base.distribution_options import is_chief
from components.common.base.label import Label, from_parameter
from components.common.base.step_options import distribution_of
from components.common.data import class_weights, vocabulary
from components.common.data.arrays import Arrays
from components.common.data.examples import Examples
from components.common.data.model_inputs import ExamplesError
from components.common.models import model_files, output_kind, precision
from components.common.models.model_definition import ModelDefinition
from components.common.models.model_files import StepRecord
from components.common.models.output_kind import kinds
from components.common.steps.step_executor import label_fields
from components.common.training import fit_inputs, history, seeding
from components.trainer import stages
from components.trainer.params import TrainOptions

# Beside the model: facts for lineage, which a run_fn cannot write.
FACTS_FILE = "training.json"


def run_fn(fn_args: Any) -> None:
    """Trains the user's model and writes it as the folder of a `Model` artifact.

    Args:
        fn_args: TFX's `FnArgs`. `custom_config` holds `model_module`, `hparams`, `model_source` and
            `params` (as in components.trainer.params), all three JSON, `label`, `label_options` (JSON) and
            `seed`.

    Raises:
        UserModuleError: If the model module does not give a compiled tf_keras model.
        ExamplesError: If the examples do not fit the model.
        TrainingError: If training diverges.
        WorkerError: If a process that trains with others fails.
    """
    config = fn_args.custom_config
    options = TrainOptions.from_canonical(config["params"])
    examples = Examples(
        # A file pattern is <uri>/Split-<name>/*.
        uri=os.path.dirname(os.path.dirname(fn_args.train_files[0])),
        schema_uri=os.path.dirname(fn_args.schema_path) if fn_args.schema_path else "",
        transform_uri=fn_args.transform_graph_path,
        label=from_parameter(config["label"]),
        **label_fields(config["label_options"]),
    )
    arguments = {
        "examples": examples,
        "output": os.path.dirname(fn_args.serving_model_dir),
        "log_dir": fn_args.model_run_dir,
        "definition": ModelDefinition(
            module=config["model_module"],
            hparams=json.loads(config["hparams"]),
            source=json.loads(config["model_source"]),
        ),
        "options": options,
        "seed": seeding.seed_of(options, config["seed"]),
    }
    asked = distribution_of(options)
    if asked.alone():
        train_baseline(**arguments)
        return
    # Here, so that a change of distributed training does not train other models again: plan.code_version.
    from components.common.training import distributed

    distributed.perform(asked, train_baseline, arguments, written=("output", "log_dir"))
    if asked.processes() and not is_chief(os.environ):
        # TFX wants the folder to be there; its content is the chief's to write.
        os.makedirs(fn_args.serving_model_dir, exist_ok=True)


def refuse_misfit(model: Any, train: Arrays, label: Label) -> None:
    """Raises an ExamplesError if labels do not have the shape that a model's outputs and losses take.

    Keras would broadcast them, and train on something else than was meant.
    """
    arrays = train.labels_of(model.output_names)
    each = arrays if isinstance(arrays, list) else [arrays]
    for kind, values in zip(kinds(model), each, strict=True):
        feature = label if isinstance(label, str) else label[kind.name]
        misfit = kind.label_misfit(feature, math.prod(values.shape[1:]))
        if misfit is not None:
            raise ExamplesError(misfit)


def train_baseline(
    examples: Examples,
    output: str,
    log_dir: str,
    definition: ModelDefinition,
    options: TrainOptions,
    seed: int,
) -> history.History:
    """Builds, trains and writes the baseline.

    Args:
        examples: `train` and `eval` splits.
        output: Folder to write the model into.
        log_dir: Gets the learning curves, in TensorBoard's format.
        definition: Where the model comes from.
        options: How to train it.
        seed: Seed of initialization and shuffling.

    Returns:
        Metric → its value after each epoch.

    Raises:
        VocabularyError: If a string label does not fit the model's outputs.
        ClassWeightsError: If weights do not fit the label or the model.
        UserModuleError: If the module does not give a compiled model.
        ExamplesError: If the examples do not fit it.
        TrainingError: If the options do not fit it, or training diverges.
    """
    seeding.seed_everything(seed)
    asked = options.precision
    used = precision.usable(asked)
    if used != asked:
        progress.note(precision.note(asked, used))
    with precision.policy(used):
        model = definition.build()
        trunk = definition.trunk_of(model)
    classes = examples.vocabulary()
    if classes is not None:
        vocabulary.refuse_other_outputs(classes.names, model.output_shape)
    if examples.class_weights is not None:
        class_weights.refuse_other_tasks(model)
    specs = model_files.input_specs(model, list(examples.feature_spec()), examples.label)
    train = examples.load("train", specs)
    refuse_misfit(model, train, examples.label)
    history = stages.train(
        model,
        trunk,
        (train, examples.load("eval", specs)),
        options=options,
        seed=seed,
        log_dir=log_dir,
    )
    record = StepRecord(logits=output_kind.logits(model))
    if used != precision.FLOAT32:
        model = precision.in_float32(model, definition.custom_objects())
    model_files.save(model, output, list(specs), record, definition.custom_objects())
    history.write(output)
    if train.class_weights is not None:
        train.class_weights.write(output)
    facts = {
        **fit_inputs.facts(),
        "precision": used,
        "precision_asked": asked,
    }
    json_file.write(os.path.join(output, FACTS_FILE), facts)
    return history
