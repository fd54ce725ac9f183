"""Facts about the artifacts and executions of a lineage graph, for every view of it."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from components.anomaly_gate.finding import FINDINGS, Finding, from_property
from components.common.base.document import DocumentError
from components.common.base.file_hashes import CONTENT
from components.common.base.quantities import bytes_text
from components.common.base.sensitivity import REPAIR, SENSITIVITY, Repair, Sensitivity
from components.evaluator.verdict import VERDICT_FILE, Verdict

if TYPE_CHECKING:
    from components.common.base.step_options import StepOptions
    from components.common.models.invariants import Invariant
    from pipeline.lineage.graph import Graph
    from pipeline.store.records import Artifact, Execution, Run

STATISTICS_FILE = "FeatureStats.pb"
SCHEMA_FILE = "schema.pbtxt"

# Types of what is made from data before any model is.
DATA_TYPES = ("TransformGraph", "Schema", "ExampleAnomalies", "ExampleStatistics", "Examples")

# Types of executions that train a baseline: on all examples together, or on clients.
TRAINERS = ("Trainer", "FederatedTrainer")

# The artifact that a step begins with.
_BASE_MODEL = "base_model"

# Properties that every artifact has and that say nothing about this one.
# TFX's own, and the hash of every file, which is too long to show.
_HIDDEN_PROPERTIES = frozenset({"is_external", "tfx_version", "stats_dashboard_link", CONTENT})


@dataclass(frozen=True)
class DataFile:
    """A file that examples were read from.

    Attributes:
        split: That it belongs to.
        file: Its path, relative to the folder of the data.
        bytes: Its size.
        sha256: SHA-256 of its content, in hexadecimal digits.
    """

    split: str
    file: str
    bytes: int
    sha256: str


def findings(artifact: Artifact) -> list[Finding]:
    """Findings in the data that were allowed when a schema passed."""
    try:
        return from_property(str(artifact.properties.get(FINDINGS, "[]")))
    except (ValueError, TypeError):  # of another version
        return []


def trained_on(properties: Mapping[str, Any]) -> list[str]:
    """How a model's training was distributed, and in which precision, if it was asked for."""
    found = []
    if properties.get("distribution", "none") != "none":
        replicas = properties.get("replicas", "?")
        found.append(f"{properties['distribution']} on {replicas} replica{'' if replicas == 1 else 's'}")
    used, asked = properties.get("precision"), properties.get("precision_asked", "float32")
    if used != asked and used:
        found.append(f"precision {used}, as there was no device for {asked}")
    elif asked != "float32":
        found.append(f"precision {used}")
    return found


def federated(properties: Mapping[str, Any]) -> list[str]:
    """What the federated training of a model cost, and what it gave to its clients; empty if it was not federated."""
    if "federated_rounds" not in properties:
        return []
    known = {name.removeprefix("federated_"): value for name, value in properties.items()}
    up, down = (bytes_text(known[f"bytes_{way}"]) for way in ("up", "down"))
    found = [f"{known['rounds']} rounds of {known['clients']} clients, {up} up and {down} down"]
    if "worst_client" in known:
        found.append(f"worst client's {known['metric']} {known['worst_client']:.4f}")
    if "epsilon" in known:
        found.append(f"epsilon {known['epsilon']:.3g} at delta {known['delta']:g}")
    if known.get("failed"):
        found.append(f"{known['failed']} updates left out")
    return found


def plain(value: Any) -> Any:
    """A property as a JSON value; ML Metadata also holds protobuf messages, and JSON has no NaN."""
    if isinstance(value, str | int | None):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    from google.protobuf import json_format, message

    if isinstance(value, message.Message):
        return json_format.MessageToDict(value)
    return str(value)


def own_properties(artifact: Artifact) -> dict[str, Any]:
    """Properties of an artifact but for those that all have, as JSON values, by name."""
    return {
        name: plain(value)
        for name, value in sorted(artifact.properties.items())
        if name not in _HIDDEN_PROPERTIES
    }


def parsed(properties: Mapping[str, Any], name: str) -> Any:
    """The value of a property that is JSON; None if there is none or it is not JSON."""
    text = properties.get(name)
    if not isinstance(text, str):
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None


def _parsed_object(properties: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = parsed(properties, name)
    return found if isinstance(found, dict) else {}


def step_options(execution: Execution) -> type[StepOptions] | None:
    """The options class of the technique that an execution applied; None if it is not a step."""
    from components.registry import TECHNIQUES

    for technique in TECHNIQUES.values():
        if technique.component.rpartition(".")[2] == execution.type:
            return technique.options
    return None


def headlines() -> dict[str, type[Invariant]]:
    """Property of a model or evaluation → the kind of invariant whose worst layer it describes."""
    from components import registry

    return registry.headlines()


def parameters(execution: Execution) -> dict[str, Any]:
    """Options that an execution ran with: those of a step, or of the baseline's training."""
    return _parsed_object(execution.properties, "params") or _parsed_object(training(execution), "params")


def training(execution: Execution) -> dict[str, Any]:
    """Arguments that TFX's Trainer passes to the training code: model_module, hparams, params, seed, …"""
    return _parsed_object(execution.properties, "custom_config")


def hparams(execution: Execution) -> dict[str, Any]:
    """Hyperparameters of the user's model."""
    return _parsed_object(execution.properties, "hparams") or _parsed_object(training(execution), "hparams")


def pretrained(execution: Execution) -> dict[str, Any]:
    """Options of the pretrained model that the baseline began with, and its file's SHA-256; empty without one."""
    source = _parsed_object(training(execution), "model_source")
    return source.get("pretrained") or {}


def changed_parameters(execution: Execution) -> dict[str, Any]:
    """Options of an execution that are not at their defaults, in the order in which they are declared.

    Options that the technique no longer has are included.
    """
    options: Any = step_options(execution)
    if options is None and execution.type in TRAINERS:
        from components.trainer.params import TrainOptions

        options = TrainOptions
    found = parameters(execution)
    if options is None:
        return found
    # Without validation, as required options are missing.
    defaults = options.model_construct().model_dump(mode="json")
    order = [name for name in options.model_fields if name in found]
    order += sorted(set(found) - set(order))
    changed = {name: found[name] for name in order if name not in defaults or found[name] != defaults[name]}
    changed |= _changed_federated(execution)
    # Steps without a distribution get one that says so.
    if isinstance(spread := changed.get("distribution"), dict) and spread.get("kind") == "none":
        del changed["distribution"]
    return changed


def _changed_federated(execution: Execution) -> dict[str, Any]:
    """`federated` with its options that are not at their defaults; empty if a training was not federated."""
    written = _parsed_object(training(execution), "federated")
    if not written:
        return {}
    from components.federated_trainer.params import Federated

    options: Any = Federated  # required options are missing
    defaults = options.model_construct().model_dump(mode="json")
    return {"federated": {k: v for k, v in written.items() if k not in defaults or v != defaults[k]}}


def chain(graph: Graph, artifact: Artifact) -> tuple[list[tuple[Execution, Artifact]], Artifact]:
    """The optimization steps behind a model.

    Returns:
        Each step's execution with the model that it made, first one first; and the model that the first
        one began with, which is the baseline.
    """
    steps: list[tuple[Execution, Artifact]] = []
    while (producer := graph.producer(artifact.id)) is not None:
        base = graph.inputs(producer.id).get(_BASE_MODEL)
        if not base:
            break
        steps.append((producer, artifact))
        artifact = base[0]
    return steps[::-1], artifact


def candidates(graph: Graph, selector: Execution) -> dict[str, dict[str, Artifact]]:
    """Candidate → its `model`, `blessing` and `evaluation`, as a Selector compared them."""
    inputs = graph.inputs(selector.id)
    names = parsed(selector.properties, "candidates")
    found = {}
    for name in names if isinstance(names, list) else []:
        key = str(name).replace("-", "_")
        parts = {part: inputs.get(f"{part}_{key}") for part in ("model", "blessing", "evaluation")}
        found[str(name)] = {part: artifacts[0] for part, artifacts in parts.items() if artifacts}
    return found


@dataclass(frozen=True)
class Imported:
    """The source of an imported model: path, format as `components.common.models.model_format` names it, SHA-256."""

    path: str
    format: str
    sha256: str


def imported(artifact: Artifact) -> Imported | None:
    """The source of an imported model; None if it was not imported."""
    known = artifact.properties
    if "source_sha256" not in known:
        return None
    return Imported(str(known.get("source_path", "")), str(known.get("format", "")), known["source_sha256"])


def layers(artifact: Artifact) -> dict[str, dict[str, Any]]:
    """Layer → what was measured in its kernel, as `components.common.models.invariants.file_facts` has it."""
    return _parsed_object(artifact.properties, "layers")


def layer_costs(artifact: Artifact) -> list[tuple[str, str]]:
    """Which layer costs most accuracy in an int8 file, and what a repair did; as far as the conversion found out."""
    found = []
    sensitivity = Sensitivity.from_property(artifact.properties, SENSITIVITY)
    if sensitivity is not None and sensitivity.layers:
        first = sensitivity.layers[0]
        gain = sensitivity.gain(first)
        alone = "" if gain is None else f", {sensitivity.metric} {gain:+.4f} if it alone stays in float"
        why = f", {first.why()}" if first.why() else ""
        found.append(("most sensitive layer", f"{first.layer}{alone}{why}"))
    repair = Repair.from_property(artifact.properties, REPAIR)
    if repair is not None:
        found.append(("repair", repair.text()))
    return found


def files(artifact: Artifact) -> dict[str, str]:
    """Path in the artifact's (or the pushed) folder → SHA-256 of the model file when it was made."""
    return dict(sorted(_parsed_object(artifact.properties, "files").items()))


def verdict(evaluation: Artifact) -> Verdict:
    """The verdict on a candidate.

    Args:
        evaluation: A `ModelEvaluation`.

    Returns:
        Its verdict.json; if that cannot be read, what ML Metadata has kept of it: `blessed` and `reasons`, and
        neither judgements nor figures.
    """
    try:
        return Verdict.read(os.path.join(evaluation.uri, VERDICT_FILE))
    except DocumentError:
        reason = evaluation.properties.get("reason")
        return Verdict(evaluation.properties.get("blessed") == 1, (str(reason),) if reason else (), ())


def fingerprint(examples: Artifact) -> dict[str, dict[str, str]]:
    """Split → what TFX recognizes changed data by: num_files, total_bytes, xor_checksum, sum_checksum."""
    found: dict[str, dict[str, str]] = {}
    for line in str(examples.properties.get("input_fingerprint", "")).splitlines():
        parts = dict(part.partition(":")[::2] for part in line.split(","))
        if "split" in parts:
            found[parts.pop("split")] = parts
    return found


def data_document(
    graph: Graph, examples: Artifact, runs: Iterable[Run], documents: Mapping[str, Mapping[str, Any]]
) -> tuple[str, list[DataFile]]:
    """The files that examples were read from, as the run that read them recorded them.

    Args:
        graph: That the examples are in.
        examples: An `Examples` artifact.
        runs: Those that are known.
        documents: SHA-256 → document of the store.

    Returns:
        SHA-256 of the data document, and its files; empty if nothing was recorded.
    """
    digests = [examples.properties.get("data_hash")]
    producer = graph.producer(examples.id)
    if producer is not None:
        digests += [run.data_hash for run in runs if run.id in producer.runs]
    for digest in digests:
        document = documents.get(digest) if digest else None
        if document is not None:
            return str(digest), [
                DataFile(split, file["file"], file["bytes"], file["sha256"])
                for split, found in sorted(document.items())
                for file in found
            ]
    return "", []


def example_counts(graph: Graph, examples: Artifact) -> dict[str, int]:
    """Split → its number of examples, from their statistics; empty if there are none."""
    for consumer in graph.consumers(examples.id):
        for statistics in graph.outputs(consumer.id).get("statistics", []):
            return split_counts(statistics)
    return {}


def split_counts(statistics: Artifact) -> dict[str, int]:
    """Split → number of examples, from the files of an `ExampleStatistics` artifact."""
    names = parsed(statistics.properties, "split_names")
    found = {}
    for split in names if isinstance(names, list) else []:
        path = os.path.join(statistics.uri, f"Split-{split}", STATISTICS_FILE)
        if not os.path.isfile(path):
            continue
        from tensorflow_metadata.proto.v0 import statistics_pb2

        with open(path, "rb") as file:
            message = statistics_pb2.DatasetFeatureStatisticsList.FromString(file.read())
        found[split] = sum(int(dataset.num_examples) for dataset in message.datasets)
    return found


def features(schema: Artifact) -> list[tuple[str, str]]:
    """Name and type, such as `INT [784]`, of each feature of a `Schema` artifact; empty if its file is gone."""
    path = os.path.join(schema.uri, SCHEMA_FILE)
    if not os.path.isfile(path):
        return []
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    with open(path, encoding="utf-8") as file:
        message = text_format.Parse(file.read(), schema_pb2.Schema())
    return [
        (feature.name, f"{schema_pb2.FeatureType.Name(feature.type)} {_shape(feature)}".strip())
        for feature in message.feature
    ]


def _shape(feature: Any) -> str:
    if not feature.HasField("shape"):
        return ""
    return f"[{', '.join(str(dim.size) for dim in feature.shape.dim)}]"


def run_of(execution: Execution, runs: Sequence[Run]) -> Run | None:
    """The run that an execution was part of; None if it is not known."""
    return next((run for run in runs if run.id in execution.runs), None)
