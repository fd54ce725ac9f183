"""The plan: a config's candidates as a static graph of nodes. Imports neither TensorFlow nor TFX.

A plan says everything about a run that is known before it: which nodes there are, what each reads and
which parameters it is given. `pipeline.build` turns it into a TFX pipeline, `pipeline.cache` says which
nodes are already done.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from components.common.step import StepOptions
from components.tflite_converter.params import ConvertOptions
from pipeline.checks import split_files
from pipeline.code_version import component_version, module_version
from pipeline.config import Config
from pipeline.model_source import find_module, has_function

EXAMPLE_GEN = "ImportExampleGen"
STATISTICS_GEN = "StatisticsGen"
SCHEMA_GEN = "SchemaGen"
EXAMPLE_VALIDATOR = "ExampleValidator"
ANOMALY_GATE = "AnomalyGate"
TRANSFORM = "Transform"
TRAINER = "Trainer"
SELECTOR = "Selector"
PUSHER = "Pusher"

TRAINED_SPLIT = "train"
EVALUATED_SPLIT = "eval"

Parameter = str | int | float

_LONGEST_ID = 63 - len("-evaluate")


@dataclass(frozen=True)
class Output:
    """An output of another node, as an input of this one."""

    node: str
    key: str


@dataclass(frozen=True)
class Node:
    """One node of the pipeline.

    Attributes:
        id: Unique in the plan; from content, so that it is stable when candidates come and go.
        component: Dotted path of the component class.
        inputs: Input key → what is read.
        parameters: Execution properties as ML Metadata records them; for TFX's own components those
            that tell one configuration from another.
        trains: Whether the node trains a model, and so takes long.
        candidates: Candidates that need the node; empty where all do.
    """

    id: str
    component: str
    inputs: dict[str, Output]
    parameters: dict[str, Parameter]
    trains: bool = False
    candidates: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """The graph that a config asks for.

    Attributes:
        nodes: In an order in which each node comes after what it reads.
        models: Candidate → id of the node that makes its TFLite file.
        evaluations: Candidate → id of the node that judges it.
        baseline: Id of the node that makes the baseline's TFLite file.
    """

    name: str
    nodes: tuple[Node, ...]
    models: dict[str, str]
    evaluations: dict[str, str]
    baseline: str

    def node(self, node_id: str) -> Node:
        """The node of an id."""
        return next(node for node in self.nodes if node.id == node_id)


def make_plan(config: Config, config_path: str | Path) -> Plan:
    """Plans a run.

    Args:
        config: Whose candidates to build.
        config_path: The config's file; the model module may stand beside it.

    Raises:
        FileNotFoundError: Where the model module does not exist (`pipeline.checks` refuses it first).
    """
    return _Planner(config, Path(config_path)).plan()


class _Planner:
    def __init__(self, config: Config, config_path: Path):
        self.config = config
        module = find_module(config.model.module, config_path)
        if module is None:
            raise FileNotFoundError(f"module {config.model.module} not found")
        self.module_version = module_version(module, config.model.module, config_path)
        self.transforms = has_function(module, "preprocessing_fn")
        self.nodes: dict[str, Node] = {}
        self.users: dict[str, list[str]] = {}
        # What nodes that train or measure read besides a model.
        self.data = {
            "examples": Output(EXAMPLE_GEN, "examples"),
            "schema": Output(ANOMALY_GATE, "schema"),
        }
        if self.transforms:
            self.data["examples"] = Output(TRANSFORM, "transformed_examples")
            self.data["transform_graph"] = Output(TRANSFORM, "transform_graph")

    def plan(self) -> Plan:
        self._add_data_nodes()
        self._add_trainer()
        baseline = self._add_step(TRAINER, "", ConvertOptions(quantization="float32"), ())
        models, evaluations = {}, {}
        for name, chain in self.config.candidates.items():
            source, prefix = TRAINER, ""
            for step in chain.steps():
                source = self._add_step(source, prefix, step, (name,))
                prefix = source
            models[name] = source
            evaluations[name] = self._add_evaluator(name, source, baseline)
        self._add_selector(models, evaluations)
        self._add_pusher()
        nodes = tuple(
            Node(**{**vars(node), "candidates": tuple(self.users.get(node.id, ()))})
            for node in self.nodes.values()
        )
        return Plan(self.config.name, nodes, models, evaluations, baseline)

    def _add(self, node: Node) -> None:
        self.nodes[node.id] = node

    def _add_data_nodes(self) -> None:
        data = self.config.data
        self._add(
            Node(
                EXAMPLE_GEN,
                "tfx.components.ImportExampleGen",
                {},
                {
                    "input_base": os.path.abspath(data.path),
                    "input_config": proto_json(
                        {
                            "splits": [
                                {"name": TRAINED_SPLIT, "pattern": data.splits.train},
                                {"name": EVALUATED_SPLIT, "pattern": data.splits.eval},
                            ]
                        }
                    ),
                    "input_fingerprint": data_fingerprint(self.config),
                },
            )
        )
        examples = {"examples": Output(EXAMPLE_GEN, "examples")}
        self._add(Node(STATISTICS_GEN, "tfx.components.StatisticsGen", examples, {}))
        statistics = {"statistics": Output(STATISTICS_GEN, "statistics")}
        self._add(Node(SCHEMA_GEN, "tfx.components.SchemaGen", statistics, {}))
        schema = Output(SCHEMA_GEN, "schema")
        self._add(
            Node(
                EXAMPLE_VALIDATOR,
                "tfx.components.ExampleValidator",
                {**statistics, "schema": schema},
                {},
            )
        )
        self._add(
            Node(
                ANOMALY_GATE,
                "components.anomaly_gate.component.AnomalyGate",
                {"anomalies": Output(EXAMPLE_VALIDATOR, "anomalies"), "inferred_schema": schema},
                {"code_version": component_version("components.anomaly_gate.executor")},
            )
        )
        if self.transforms:
            self._add(
                Node(
                    TRANSFORM,
                    "tfx.components.Transform",
                    {
                        "examples": Output(EXAMPLE_GEN, "examples"),
                        "schema": Output(ANOMALY_GATE, "schema"),
                    },
                    {
                        "preprocessing_fn": f"{self.config.model.module}.preprocessing_fn",
                        "custom_config": _json({"module_version": self.module_version}),
                    },
                )
            )

    def _add_trainer(self) -> None:
        model = self.config.model
        custom_config = {
            "code_version": component_version("components.trainer.run_fn"),
            "hparams": _json(model.hparams),
            "label": self.config.data.label,
            "model_module": model.module,
            "module_version": self.module_version,
            "params": model.train.model_dump_json(),
            "seed": self.config.run.seed,
        }
        self._add(
            Node(
                TRAINER,
                "components.trainer.component.Trainer",
                dict(self.data),
                {
                    "run_fn": "components.trainer.run_fn.run_fn",
                    "custom_config": _json(custom_config),
                },
                trains=True,
            )
        )

    def _add_step(self, source: str, prefix: str, step: StepOptions, users: tuple[str, ...]) -> str:
        node_id = bounded(f"{prefix}-{step.slug()}" if prefix else step.slug())
        self.users.setdefault(node_id, []).extend(users)
        if node_id not in self.nodes:
            package = type(step).component.rsplit(".", 2)[0]
            parameters: dict[str, Parameter] = {
                "params": step.canonical_json(),
                "model_module": self.config.model.module,
                "hparams": _json(self.config.model.hparams),
                "label": self.config.data.label,
                "seed": self.config.run.seed,
                "code_version": component_version(f"{package}.executor"),
            }
            self._add(
                Node(
                    node_id,
                    type(step).component,
                    {"base_model": Output(source, "model"), **self.data},
                    parameters,
                    trains="epochs" in type(step).model_fields,
                )
            )
        return node_id

    def _add_evaluator(self, candidate: str, model: str, baseline: str) -> str:
        node_id = f"{model}-evaluate"
        self.users.setdefault(node_id, []).append(candidate)
        self._add(
            Node(
                node_id,
                "components.evaluator.component.Evaluator",
                {
                    "model": Output(model, "model"),
                    "baseline": Output(baseline, "model"),
                    **self.data,
                },
                {
                    "gate": _json(self.config.gate.model_dump(mode="json")),
                    "label": self.config.data.label,
                    "seed": self.config.run.seed,
                    "code_version": component_version("components.evaluator.executor"),
                },
            )
        )
        return node_id

    def _add_selector(self, models: dict[str, str], evaluations: dict[str, str]) -> None:
        inputs = {}
        for name in models:
            key = input_key(name)
            inputs[f"model_{key}"] = Output(models[name], "model")
            inputs[f"blessing_{key}"] = Output(evaluations[name], "blessing")
            inputs[f"evaluation_{key}"] = Output(evaluations[name], "evaluation")
        self._add(
            Node(
                SELECTOR,
                "components.selector.component.Selector",
                inputs,
                {
                    "candidates": _json(list(models)),
                    "select": _json(self.config.select.model_dump(mode="json")),
                    "code_version": component_version("components.selector.executor"),
                },
            )
        )

    def _add_pusher(self) -> None:
        self._add(
            Node(
                PUSHER,
                "components.pusher.component.Pusher",
                {
                    "model": Output(SELECTOR, "model"),
                    "model_blessing": Output(SELECTOR, "blessing"),
                },
                {
                    "push_destination": proto_json(
                        {"filesystem": {"base_directory": os.path.abspath(self.config.push.directory)}}
                    ),
                    "custom_config": _json(
                        {"code_version": component_version("components.pusher.executor")}
                    ),
                },
            )
        )


def bounded(node_id: str) -> str:
    """An id short enough to name, with `-evaluate` behind it, a Kubernetes object: 63 characters."""
    if len(node_id) <= _LONGEST_ID:
        return node_id
    digest = hashlib.sha256(node_id.encode()).hexdigest()[:8]
    return f"{node_id[: _LONGEST_ID - 9].rstrip('-')}-{digest}"


def input_key(candidate: str) -> str:
    """A candidate's name as part of the key of an input, which Python must take as a name."""
    return candidate.replace("-", "_")


def data_fingerprint(config: Config) -> str:
    """What ImportExampleGen's driver will record of the files, computed as it does.

    Name, count, total bytes, and the xor and sum of the times of modification, in seconds.
    """
    lines = []
    splits = config.data.splits
    for split, pattern in ((TRAINED_SPLIT, splits.train), (EVALUATED_SPLIT, splits.eval)):
        total = xor = added = 0
        files = split_files(os.path.abspath(config.data.path), pattern)
        for file in files:
            status = file.stat()
            total += status.st_size
            xor ^= int(status.st_mtime)
            added += int(status.st_mtime)
        lines.append(
            f"split:{split},num_files:{len(files)},total_bytes:{total},"
            f"xor_checksum:{xor},sum_checksum:{added}"
        )
    return "\n".join(lines)


def proto_json(value: object) -> str:
    """JSON laid out as TFX records protocol buffers."""
    return json.dumps(value, indent=2, sort_keys=True)


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True)
