"""Compiling a plan for a cluster with TFX's KubeflowV2DagRunner, and what its specification lacks.

TFX leaves out of the specification the defaults of parameters, everything about a task but its image
and arguments, and for ExampleGen resources too; that is added here, to KFP's own protocol buffers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from apache_beam import runners
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
from tfx.dsl.components.base import executor_spec
from tfx.orchestration import pipeline as tfx_pipeline
from tfx.orchestration.kubeflow.v2 import compiler_utils, kubeflow_v2_dag_runner

from components.common.models.user_module import describe
from pipeline.checks.cluster_nodes import technique_of
from pipeline.config.config import Config
from pipeline.config.kubeflow_options import NodeOptions, Target, Volume, cores, gigabytes
from pipeline.kubeflow.checks import CompileError, task_names
from pipeline.kubeflow.parameters import Binding, RunParameter
from pipeline.plan.plan import Plan
from pipeline.run import build

ENTRYPOINT = ("python", "-m", "pipeline.kubeflow_entrypoint")

_Deployment = pipeline_spec_pb2.PipelineDeploymentConfig
_Container = pipeline_spec_pb2.PipelineDeploymentConfig.PipelineContainerSpec
_Types = pipeline_spec_pb2.ParameterType
_LegacyTypes = pipeline_spec_pb2.PrimitiveType

# What one version of YAML or the other takes for something else than text.
_NUMBER_OR_BOOLEAN = re.compile(
    r"[-+]?(\d[\d_]*)?\.?[\d_]*([eE][-+]?\d+)?|[-+]?0[xob][\da-fA-F_]+|[-+]?\.(inf|nan)|[yn]|~",
    re.IGNORECASE | re.ASCII,
)

# A task that fails is often a machine that was taken away: the next one is not there at once.
_BACKOFF_SECONDS, _BACKOFF_FACTOR, _BACKOFF_MOST_SECONDS = 30, 2.0, 600


class _Dumper(yaml.SafeDumper):
    """Writes YAML that both of its versions read alike.

    PyYAML goes by YAML 1.1, where 12e34567 is text; KFP's backend reads 1.2, where it is a number, and one
    version of code in 300 looks like that.
    """


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = '"' if _NUMBER_OR_BOOLEAN.fullmatch(value) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


@dataclass(frozen=True)
class Compiled:
    """A compiled pipeline.

    Attributes:
        target: What it is compiled for.
        job: As KFP's `PipelineJob`, in JSON values.
        platform: What Kubernetes has to know besides, as KFP's `PlatformSpec`; empty where nothing.
        parameters: What may differ from run to run.
    """

    target: Target
    job: dict[str, Any]
    platform: dict[str, Any]
    parameters: tuple[RunParameter, ...]

    @property
    def spec(self) -> dict[str, Any]:
        """KFP's `PipelineSpec`, in JSON values."""
        return self.job["pipelineSpec"]

    def text(self) -> str:
        """The file's content: YAML for Kubeflow, JSON for Vertex AI. The same pipeline, the same text."""
        if self.target == "vertex":
            return json.dumps(self.job, indent=2, sort_keys=True) + "\n"
        documents = [self.spec, *([self.platform] if self.platform else [])]
        return yaml.dump_all(documents, Dumper=_Dumper, sort_keys=True, allow_unicode=True, width=110)


def compile_plan(
    plan: Plan,
    config: Config,
    target: Target,
    image: str,
    pipeline_root: str,
    parameters: list[RunParameter],
    module_root: str | None = None,
) -> Compiled:
    """Compiles a plan.

    Args:
        plan: Its nodes become tasks.
        config: The config that it was made from, `pipeline.kubeflow.checks.check`ed.
        target: `kubeflow`: schema 2.1, for the open-source backend; `vertex`: schema 2.0, the one that
            TFX compiles for Vertex AI.
        image: Container image of the tasks.
        pipeline_root: URI of the folder of artifacts.
        parameters: What may differ from run to run.
        module_root: Folder, below the image's working directory, of the model module.

    Raises:
        CompileError: Where TFX cannot write a node as a task, or Beam has no such runner.
    """
    _refuse_beam_args(config.run.beam_args)
    names = task_names(plan)
    pipeline = build.build(plan, config, pipeline_root, names)
    _refuse_artifact_types(pipeline)
    runner = kubeflow_v2_dag_runner.KubeflowV2DagRunner(
        kubeflow_v2_dag_runner.KubeflowV2DagRunnerConfig(
            default_image=image,
            default_commands=list(ENTRYPOINT),
            use_pipeline_spec_2_1=target == "kubeflow",
        )
    )
    defaults = {parameter.name: parameter.default for parameter in parameters}
    job = runner.run(pipeline, parameter_values=defaults, write_out=False)
    spec = json_format.ParseDict(job["pipelineSpec"], pipeline_spec_pb2.PipelineSpec())
    tasks = _Tasks(spec, target)
    for parameter in parameters:
        tasks.define(parameter)
        for binding in parameter.bindings:
            tasks.bind(names[binding.node], binding, parameter)
    beam = {component.id for component in pipeline.components if _uses_beam(component)}
    platform: dict[str, Any] = {}
    for node in plan.nodes:
        name = names[node.id]
        options = config.kubeflow.of_node(node.id, technique_of(node))
        tasks.set_options(name, options)
        tasks.set_arguments(name, config.run.beam_args if name not in beam else [], module_root)
        kubernetes = _kubernetes(options, config.kubeflow.volumes)
        if target == "kubeflow" and kubernetes:
            platform[spec.components[name].executor_label] = kubernetes
    if target == "kubeflow":
        spec.default_pipeline_root = pipeline_root
    job["pipelineSpec"] = tasks.finished()
    executors = {"deploymentSpec": {"executors": platform}}
    extra = {"platforms": {"kubernetes": executors}} if platform else {}
    return Compiled(target, job, extra, tuple(parameters))


def width(spec: Mapping[str, Any]) -> int:
    """How many tasks of a compiled specification can run at a time, counted level by level."""
    tasks = spec["root"]["dag"]["tasks"]
    depths: dict[str, int] = {}

    def depth(name: str) -> int:
        if name not in depths:
            depths[name] = 1 + max(map(depth, tasks[name].get("dependentTasks", [])), default=0)
        return depths[name]

    levels = [depth(name) for name in tasks]
    return max(map(levels.count, levels))


def _uses_beam(component: Any) -> bool:
    return isinstance(component.executor_spec, executor_spec.BeamExecutorSpec)


def _refuse_beam_args(beam_args: list[str]) -> None:
    try:
        name = PipelineOptions(beam_args).view_as(StandardOptions).runner
        runners.create_runner(name or "DirectRunner")
    except (ValueError, ImportError, AttributeError, SystemExit) as error:
        raise CompileError(f"run.beam_args: Apache Beam refuses them: {describe(error)}") from error


def _refuse_artifact_types(pipeline: tfx_pipeline.Pipeline) -> None:
    for component in pipeline.components:
        for key, channel in {**component.inputs, **component.outputs}.items():
            kind = channel.type
            try:
                compiler_utils.build_output_artifact_spec(channel)
            except (KeyError, ValueError, TypeError) as error:
                why = f"is called {kind.TYPE_NAME!r}; call it <package>.<Type>, as it is imported"
                if kind.PROPERTIES:
                    why = (
                        "declares PROPERTIES, which no custom type has there; set custom properties instead"
                    )
                raise CompileError(
                    f"{component.id}: {key!r} is an artifact of a type that Kubeflow cannot hold: "
                    f"{kind.__name__} {why} ({error})"
                ) from error


class _Tasks:
    """The tasks of a specification, while they are completed."""

    def __init__(self, spec: Any, target: Target):
        self._spec = spec
        self._target = target
        self._deployment = json_format.ParseDict(
            json_format.MessageToDict(spec.deployment_spec), _Deployment()
        )
        # Task → what `pipeline.kubeflow.entrypoint` writes into JSON parameters.
        self._writes: dict[str, list[str]] = {}

    def _container(self, task: str) -> Any:
        return self._deployment.executors[self._spec.components[task].executor_label].container

    def define(self, parameter: RunParameter) -> None:
        """Makes a parameter of the run one of the pipeline."""
        definition = self._spec.root.input_definitions.parameters[parameter.name]
        self._set_type(definition, parameter)
        if self._target == "kubeflow":
            kind = "number_value" if isinstance(parameter.default, int) else "string_value"
            setattr(definition.default_value, kind, parameter.default)
            definition.is_optional = True
            definition.description = parameter.description

    def _set_type(self, definition: Any, parameter: RunParameter) -> None:
        whole = isinstance(parameter.default, int)
        if self._target == "kubeflow":
            definition.parameter_type = _Types.NUMBER_INTEGER if whole else _Types.STRING
        else:
            definition.type = _LegacyTypes.INT if whole else _LegacyTypes.STRING

    def bind(self, task: str, binding: Binding, parameter: RunParameter) -> None:
        """Lets a parameter of the run set one of a task, or something inside one."""
        key = parameter.name if binding.path else binding.parameter
        self._set_type(self._spec.components[task].input_definitions.parameters[key], parameter)
        value = self._spec.root.dag.tasks[task].inputs.parameters[key]
        value.Clear()
        value.component_input_parameter = parameter.name
        if binding.path:
            self._cut(task, binding)
            place = ".".join((binding.parameter, *binding.path))
            self._writes.setdefault(task, []).append(f"{key}={place}")

    def _cut(self, task: str, binding: Binding) -> None:
        """Takes what the run will set out of a JSON parameter: it would be this machine's, and in the way
        of the cache.
        """
        value = self._spec.root.dag.tasks[task].inputs.parameters[binding.parameter].runtime_value
        constant = value.constant if self._target == "kubeflow" else value.constant_value
        whole = inner = json.loads(constant.string_value)
        *way, last = binding.path
        for key in way:
            inner = inner[key]
        del inner[last]
        constant.string_value = json.dumps(whole, sort_keys=True)

    def set_options(self, task: str, options: NodeOptions) -> None:
        """Gives a task its resources, retries, caching and environment."""
        container, spec = self._container(task), self._spec.root.dag.tasks[task]
        if options.cpu is not None:
            container.resources.cpu_limit = cores(options.cpu)
        if options.memory is not None:
            container.resources.memory_limit = gigabytes(options.memory)
        if self._target == "kubeflow":  # Vertex AI takes limits alone
            container.resources.cpu_request = container.resources.cpu_limit
            container.resources.memory_request = container.resources.memory_limit
        if options.accelerator is not None:
            container.resources.accelerator.type = options.accelerator.type
            container.resources.accelerator.count = options.accelerator.count
        if not container.resources.ByteSize():
            container.ClearField("resources")
        for name, value in sorted((options.env or {}).items()):
            container.env.add(name=name, value=value)
        if options.retries:
            policy = spec.retry_policy
            policy.max_retry_count = options.retries
            policy.backoff_duration.seconds = _BACKOFF_SECONDS
            policy.backoff_factor = _BACKOFF_FACTOR
            policy.backoff_max_duration.seconds = _BACKOFF_MOST_SECONDS
        spec.caching_options.enable_cache = options.cache is not False

    def set_arguments(self, task: str, beam_args: list[str], module_root: str | None) -> None:
        """Puts what the entrypoint has to know before TFX's arguments.

        Args:
            task: Its name. KFP keeps what it knows of a task under a hash of its container: with the name
                in it, no two tasks are taken for one.
            beam_args: What a task without Beam need not be given: TFX gives it to all.
            module_root: As `compile_plan`'s.
        """
        container = self._container(task)
        arguments = list(container.args)
        if beam_args:
            assert arguments[-len(beam_args) :] == list(beam_args)
            del arguments[-len(beam_args) :]
        inputs = "--json_serialized_inputs_spec_args"
        if inputs in arguments:  # parameters may have been added to it
            definitions = self._spec.components[task].input_definitions
            arguments[arguments.index(inputs) + 1] = json_format.MessageToJson(
                definitions, sort_keys=True, indent=None
            )
        own = ["--node", task]
        if module_root is not None:
            own += ["--module_root", module_root]
        for write in self._writes.get(task, []):
            own += ["--write", write]
        container.args[:] = [*own, *arguments]
        if self._target == "kubeflow":  # which does not run ExampleGen's driver
            container.ClearField("lifecycle")

    def finished(self) -> dict[str, Any]:
        """The specification in JSON values."""
        self._spec.deployment_spec.Clear()
        self._spec.deployment_spec.update(json_format.MessageToDict(self._deployment))
        return json_format.MessageToDict(self._spec)


def _kubernetes(options: NodeOptions, volumes: list[Volume]) -> dict[str, Any]:
    """A task's part of KFP's Kubernetes platform: what `kfp-kubernetes` calls KubernetesExecutorConfig."""
    found: dict[str, Any] = {}
    if options.node_selector:
        found["nodeSelector"] = {"labels": dict(options.node_selector)}
    if volumes:
        found["pvcMount"] = [{"constant": volume.claim, "mountPath": volume.mount} for volume in volumes]
    return found
