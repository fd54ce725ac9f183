"""The planner: makes the plan of a config. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from components.common.base import metric_task, runtime
from components.common.base.label import as_parameter
from components.common.base.step_options import ClientTuningOptions, StepOptions
from components.federated_trainer.params import FILE_FEATURE, OfSteps
from components.measurer.machine import this_machine
from components.registry import technique_of
from pipeline.config import several_targets
from pipeline.config.config import Config
from pipeline.plan import data_nodes
from pipeline.plan.code_version import SERVER_LOAD, component_version, is_distributed
from pipeline.plan.data_nodes import Transformation
from pipeline.plan.import_source import import_source
from pipeline.plan.model_source import find_module, has_function
from pipeline.plan.node import (
    MACHINE,
    MODEL_IMPORTER,
    PUSHER,
    SELECTOR,
    TRAINER,
    Node,
    Output,
    Parameter,
    bounded,
    input_key,
    proto_json,
    to_json,
)
from pipeline.plan.node_code import model_version
from pipeline.plan.plan import Plan
from pipeline.plan.pretrained_source import pretrained_source


def make_plan(config: Config, config_path: str | Path) -> Plan:
    """Plans a run.

    Args:
        config: Whose candidates to build.
        config_path: The config's file; the model module may be beside it.

    Raises:
        FileNotFoundError: If the model module does not exist; checks refuse this earlier.
        ModelFormatError: If an imported model is not a model; checks refuse this earlier.
        SeveralTargetsError: If the config names several targets.
    """
    several_targets.refuse(config)
    return Planner(config, Path(config_path)).plan()


class Planner:
    """Adds the nodes of a config one by one, each after what it reads."""

    def __init__(self, config: Config, config_path: Path):
        self.config = config
        self.module_version = model_version(config, config_path)
        self.transformation = None
        module = find_module(config.model.module, config_path) if config.model.module else None
        if module is not None and has_function(module, "preprocessing_fn"):
            self.transformation = Transformation(
                f"{config.model.module}.preprocessing_fn", self.module_version
            )
        # What the baseline starts from, in addition to what build_model makes.
        self.source: dict[str, Any] = {
            **import_source(config.model.imported),
            **pretrained_source(config.model.pretrained),
            **config.model.compile_source(),
        }
        self.origin = TRAINER if config.model.imported is None else MODEL_IMPORTER
        self.nodes: dict[str, Node] = {}
        self.users: dict[str, list[str]] = {}
        # Inputs of nodes that train or measure, in addition to a model.
        self.data = data_nodes.outputs(self.config.data, self.transformation)

    def plan(self) -> Plan:
        gates = self.config.gate.accuracies()
        classes = any(metric_task.is_of_classes(figure.metric) for figure in gates)
        for node in data_nodes.data_nodes(
            self.config.data, self.transformation, classes, self._file_feature()
        ):
            self._add(node)
        if self.origin == MODEL_IMPORTER:
            self._add_importer()
        else:
            self._add_trainer()
        baseline = self._add_step(self.origin, "", self.config.baseline_conversion, ())
        predictions = self._add_predictor(baseline)
        models, measurements, evaluations = {}, {}, {}
        for name, chain in self.config.candidates.items():
            source, prefix = self.origin, ""
            modules: dict[str, None] = {}
            for step in chain.steps():
                source = self._add_step(source, prefix, step, (name,), modules)
                prefix = source
                modules.update(dict.fromkeys(technique_of(step).modules()))
            models[name] = source
            measurements[name] = self._add_measurer(name, source, baseline, predictions)
            evaluations[name] = self._add_evaluator(name, source, baseline, measurements[name], modules)
        self._add_selector(models, evaluations)
        self._add_pusher()
        nodes = tuple(
            Node(**{**vars(node), "candidates": tuple(self.users.get(node.id, ()))})
            for node in self.nodes.values()
        )
        return Plan(
            self.config.name,
            nodes,
            models,
            measurements,
            evaluations,
            baseline,
            self.source,
            module_version=self.module_version,
        )

    def _file_feature(self) -> str:
        """Feature that gets the name of each example's file; empty if clients are not files."""
        federated = self.config.model.train.federated
        return FILE_FEATURE if federated and federated.clients.files is not None else ""

    def _label_options(self) -> str:
        data = self.config.data
        options = {"classes": data.classes, "class_weights": data.named_class_weights()}
        # Left out by default: no result depends on it, so nothing has to be made again.
        return to_json(options if data.in_memory == "auto" else {**options, "in_memory": data.in_memory})

    def _runtime(self) -> dict[str, Parameter]:
        """The parameter that names what predictions are made on; none for LiteRT, which code versions count."""
        target = self.config.target_kind
        if target.runtime == runtime.LITERT:
            return {}
        return {"runtime": runtime.as_parameter(target.runtime, target.cache_version() or "")}

    def _add(self, node: Node) -> None:
        self.nodes[node.id] = node

    def _add_trainer(self) -> None:
        model = self.config.model
        params = model.train.plain().canonical_json()
        federated = model.train.federated
        component = "federated_trainer" if federated else "trainer"
        custom_config = {
            "code_version": component_version(f"components.{component}.executor", is_distributed(params)),
            "hparams": to_json(model.hparams),
            "label": as_parameter(self.config.data.label),
            "label_options": self._label_options(),
            "model_module": model.module or "",
            "model_source": to_json(self.source),
            "module_version": self.module_version,
            "params": params,
            "seed": self.config.run.seed,
            **({"federated": federated.canonical_json()} if federated else {}),
        }
        self._add(
            Node(
                TRAINER,
                f"components.{component}.component.{'FederatedTrainer' if federated else 'Trainer'}",
                dict(self.data),
                {
                    "run_fn": f"components.{component}.run_fn.run_fn",
                    "custom_config": to_json(custom_config),
                },
                trains=True,
            )
        )

    def _add_importer(self) -> None:
        self._add(
            Node(
                MODEL_IMPORTER,
                "components.model_importer.component.ModelImporter",
                dict(self.data),
                {
                    "model_module": self.config.model.module or "",
                    "hparams": to_json(self.config.model.hparams),
                    "model_source": to_json(self.source),
                    "module_version": self.module_version,
                    "label": as_parameter(self.config.data.label),
                    "label_options": self._label_options(),
                    "code_version": component_version("components.model_importer.executor"),
                },
            )
        )

    def _add_step(
        self,
        source: str,
        prefix: str,
        step: StepOptions,
        users: tuple[str, ...],
        modules: Iterable[str] = (),
    ) -> str:
        """Adds a step's node if it is not there; `modules` are those that keep what earlier steps achieved."""
        node_id = bounded(f"{prefix}-{step.slug()}" if prefix else step.slug())
        self.users.setdefault(node_id, []).extend(users)
        if node_id not in self.nodes:
            technique = technique_of(step)
            asked = self.config.with_defaults(step)
            params = asked.canonical_json()
            code = (*modules, *asked.called_modules())
            parameters: dict[str, Parameter] = {
                "params": params,
                "model_module": self.config.model.module or "",
                "hparams": to_json(self.config.model.hparams),
                "model_source": to_json(self.source),
                "label": as_parameter(self.config.data.label),
                "label_options": self._label_options(),
                "seed": self.config.run.seed,
                **self._clients_of(asked),
                "code_modules": to_json(list(code)),
                "code_version": component_version(technique.executor, is_distributed(params), kept=code),
            }
            read = asked.compares_with_baseline() and source != self.origin
            teacher = {"teacher": Output(self.origin, "model")} if read else {}
            self._add(
                Node(
                    node_id,
                    technique.component,
                    {"base_model": Output(source, "model"), **teacher, **self.data},
                    parameters,
                    trains=technique.trains,
                )
            )
        return node_id

    def _clients_of(self, step: StepOptions) -> dict[str, Parameter]:
        """The parameter of a step that clients train; none for others, so that they stay cached."""
        train = self.config.model.train
        if not isinstance(step, ClientTuningOptions) or not step.federated or train.federated is None:
            return {}
        seed = self.config.run.seed if train.seed is None else train.seed
        return {"federated": OfSteps(options=train.federated, seed=seed).canonical_json()}

    def _add_predictor(self, baseline: str) -> str:
        node_id = f"{baseline}-predict"
        named = {name for figure in self.config.gate.accuracies() for name in figure.features()}
        self._add(
            Node(
                node_id,
                "components.predictor.component.Predictor",
                {
                    "model": Output(baseline, "model"),
                    **self.data,
                    **data_nodes.raw_outputs(self.config.data, self.transformation),
                },
                {
                    "features": to_json(sorted(named)),
                    "label": as_parameter(self.config.data.label),
                    "label_options": self._label_options(),
                    **self._runtime(),
                    "code_version": component_version("components.predictor.executor"),
                },
            )
        )
        return node_id

    def _add_measurer(self, candidate: str, model: str, baseline: str, predictions: str) -> str:
        node_id = f"{model}-measure"
        load = self.config.target.load_options
        modules = () if load is None else (SERVER_LOAD,)
        served: dict[str, Parameter] = {}
        if load is not None:
            served = {"load": load.canonical_json(), "code_modules": to_json(list(modules))}
        self.users.setdefault(node_id, []).append(candidate)
        self._add(
            Node(
                node_id,
                "components.measurer.component.Measurer",
                {
                    "model": Output(model, "model"),
                    "baseline": Output(baseline, "model"),
                    "predictions": Output(predictions, "predictions"),
                    **self.data,
                    **data_nodes.raw_outputs(self.config.data, self.transformation),
                },
                {
                    "measures": self.config.gate.measured().canonical_json(),
                    "label": as_parameter(self.config.data.label),
                    "label_options": self._label_options(),
                    **self._runtime(),
                    **({"npu": npu} if (npu := self.config.npu_parameter) else {}),
                    **served,
                    "seed": self.config.run.seed,
                    # Times on another processor, or with another LiteRT, are not valid here.
                    MACHINE: to_json(dataclasses.asdict(this_machine())),
                    "code_version": component_version("components.measurer.executor", kept=modules),
                },
            )
        )
        return node_id

    def _add_evaluator(
        self, candidate: str, model: str, baseline: str, measurement: str, modules: Iterable[str]
    ) -> str:
        node_id = f"{model}-evaluate"
        self.users.setdefault(node_id, []).append(candidate)
        trained = {"trained": Output(TRAINER, "model")} if self.config.model.train.federated else {}
        self._add(
            Node(
                node_id,
                "components.evaluator.component.Evaluator",
                {
                    "model": Output(model, "model"),
                    "baseline": Output(baseline, "model"),
                    "measurement": Output(measurement, "measurement"),
                    **trained,
                },
                {
                    "gate": to_json(self.config.judged_gate.model_dump(mode="json")),
                    "code_modules": to_json(list(modules)),
                    "code_version": component_version("components.evaluator.executor", kept=tuple(modules)),
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
                    "candidates": to_json(list(models)),
                    "select": to_json(self.config.select.model_dump(mode="json")),
                    "code_version": component_version("components.selector.executor"),
                },
            )
        )

    def _add_pusher(self) -> None:
        functions = self.config.push_functions
        modules = tuple(path.rpartition(".")[0] for path in functions)
        config: dict[str, Any] = {
            "code_version": component_version("components.pusher.executor", kept=modules)
        }
        if self.config.npu_parameter:
            config["npu"] = self.config.npu_parameter
        if functions:  # left out if there are none, so that nothing is pushed again
            config["functions"] = functions
            config["code_modules"] = to_json(list(modules))
        if self.config.push_options:
            config["options"] = self.config.push_options
        label = {"label": as_parameter(self.config.data.label), "label_options": self._label_options()}
        examples = dict.fromkeys(self.config.push_examples, label)
        if examples:
            config["data"] = examples
        directory = {"base_directory": os.path.abspath(self.config.push.directory)}
        self._add(
            Node(
                PUSHER,
                "components.pusher.component.Pusher",
                {
                    "model": Output(SELECTOR, "model"),
                    "model_blessing": Output(SELECTOR, "blessing"),
                    **(self.data if examples else {}),
                },
                {
                    "push_destination": proto_json({"filesystem": directory}),
                    "custom_config": to_json(config),
                },
            )
        )
