"""What each layer of a model that exists would cost in int8: `paredown explain --sensitivity`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.common.base.errors import ParedownError
from components.common.base.sensitivity import SENSITIVITY, Sensitivity
from components.tflite_converter.params import ConvertOptions
from pipeline.config.chain import Chain
from pipeline.config.config import Config
from pipeline.plan.node import Node, Output, Parameter
from pipeline.plan.plan import Plan
from pipeline.store.reader import Reader
from pipeline.store.records import Artifact

BASELINE = "baseline"


class NoModel(ParedownError):
    """There is nothing to examine; the message says what to run, or what to write."""


@dataclass(frozen=True)
class Made:
    """A model that was made, and what its int8 file is examined on.

    Attributes:
        name: Of the candidate, or `baseline`.
        options: Options of its conversion to int8.
        folders: Input of its conversion → folder of the artifact.
        parameters: Parameters of its conversion.
        baseline: Folder of the baseline.
        recorded: What a conversion of it has measured already; None if none has.
    """

    name: str
    options: ConvertOptions
    folders: Mapping[str, str]
    parameters: Mapping[str, Parameter]
    baseline: str
    recorded: Sensitivity | None = None


def find(config: Config, plan: Plan, reader: Reader | None, where: str) -> list[Made]:
    """The models of a config's candidates for int8, as the last runs left them; the baseline if there are none.

    Args:
        config: The config.
        plan: Its plan.
        reader: Reads its store; None if there is none yet.
        where: The config's file, for messages.

    Raises:
        NoModel: If nothing was trained yet, or no candidate is quantized after training.
    """
    chains = {name: chain for name, chain in config.candidates.items() if _is_post_training_int8(chain)}
    if config.candidates and not chains and all(map(_is_aware, config.candidates.values())):
        raise NoModel(
            f"{where}: candidates: `qat` trains for int8, and its layers have no float file to be compared with; name "
            "a candidate without `qat` by --only"
        )
    if reader is None:
        raise _nothing_made(where)
    found = [_made(name, chain, config, plan, reader) for name, chain in chains.items()] or [
        _made_baseline(config, plan, reader)
    ]
    models = [made for made in found if made is not None]
    if not models:
        raise _nothing_made(where)
    return models


def _nothing_made(where: str) -> NoModel:
    return NoModel(f"{where}: nothing has been trained yet; run `paredown run {where}` first")


def _is_aware(chain: Chain) -> bool:
    return any(step.quantization_aware for step in chain.steps())


def _is_post_training_int8(chain: Chain) -> bool:
    last = chain.steps()[-1]
    return isinstance(last, ConvertOptions) and last.quantization == "int8" and not _is_aware(chain)


def _made(name: str, chain: Chain, config: Config, plan: Plan, reader: Reader) -> Made | None:
    options = config.with_defaults(chain.steps()[-1])
    assert isinstance(options, ConvertOptions)
    node = plan.node(plan.models[name])
    file = _newest(reader, plan, Output(node.id, "model"))
    recorded = None if file is None else Sensitivity.from_property(file.properties, SENSITIVITY)
    # A repair that was not needed has measured errors alone.
    whole = recorded is not None and any(layer.value is not None for layer in recorded.layers)
    return _from(name, options, node, config, plan, reader, recorded if whole else None)


def _made_baseline(config: Config, plan: Plan, reader: Reader) -> Made | None:
    """The baseline as a candidate without further steps would be."""
    options = ConvertOptions(quantization="int8", fixed_batch=config.baseline_conversion.fixed_batch)
    return _from(BASELINE, options, plan.node(plan.baseline), config, plan, reader, None)


def _from(
    name: str,
    options: ConvertOptions,
    node: Node,
    config: Config,
    plan: Plan,
    reader: Reader,
    recorded: Sensitivity | None,
) -> Made | None:
    origin = plan.node(plan.baseline).inputs["base_model"]
    inputs = {key: _newest(reader, plan, output) for key, output in node.inputs.items()}
    baseline = _newest(reader, plan, origin)
    folders = {key: artifact.uri for key, artifact in inputs.items() if artifact is not None}
    if baseline is None or len(folders) < len(inputs):
        return None
    # What examines layers writes neither a sparse nor a uint8 file; both lose as much as the plain one.
    examined = options.model_copy(
        update={"layer_errors": True, "repair": None, "sparse": False, "pack": None, "supported_ops": []}
    )
    if examined.io == "uint8":
        examined = examined.model_copy(update={"io": "float32"})
    return Made(
        name,
        examined.limited_by(config.held_back_limits),
        folders,
        node.parameters,
        baseline.uri,
        recorded,
    )


def _newest(reader: Reader, plan: Plan, output: Output) -> Artifact | None:
    """The last artifact that a node made and that is still there."""
    for execution in reader.executions_of_node(plan.name, output.node):
        for artifact in reversed(reader.outputs(execution.id).get(output.key, [])):
            if artifact.live:
                return artifact
    return None


def measure(made: Made) -> Sensitivity:
    """Converts a model to int8 and measures what each layer costs. Imports TensorFlow, and writes nothing.

    Raises:
        ConversionError: If the model cannot be converted, or accuracy cannot be measured.
    """
    if made.recorded is not None:
        return made.recorded
    import tensorflow as tf

    from components.common.base.label import from_parameter
    from components.common.data.examples import Examples
    from components.common.models import model_files
    from components.common.models.invariants import one_scale
    from components.common.models.model_definition import ModelDefinition
    from components.common.models.model_files import StepRecord
    from components.common.steps.step_executor import StepJob, label_fields
    from components.common.tflite.tflite_file import SIGNATURE
    from components.tflite_converter import held_back, repairing
    from components.tflite_converter.executor import convert

    parameters: Mapping[str, Any] = made.parameters
    examples = Examples(
        uri=made.folders["examples"],
        schema_uri=made.folders["schema"],
        transform_uri=made.folders.get("transform_graph"),
        label=from_parameter(parameters["label"]),
        **label_fields(parameters["label_options"]),
    )
    options, seed = made.options, parameters["seed"]
    base = made.folders["base_model"]
    job = StepJob(base, "", options, examples, ModelDefinition("", {}, {}), seed, teacher=made.baseline)
    saved_model = model_files.serving_dir(base)
    loaded = tf.saved_model.load(saved_model)  # holds the signature's variables
    signature = loaded.signatures[SIGNATURE]
    train = examples.open("train", model_files.signature_inputs(signature))
    division = held_back.divide(train, options.calibration_examples, options.held_back, seed)
    clustered = any(map(one_scale, StepRecord.read(base).layers.values()))
    content = convert(saved_model, options, False, division.calibration, clustered)
    return repairing.examine(job, signature, content, division, clustered).sensitivity
