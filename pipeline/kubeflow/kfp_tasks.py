"""The tasks of KFP's `PipelineSpec`, completed with what TFX leaves out.

TFX writes neither the defaults of parameters nor anything about a task but its image and arguments; for ExampleGen it
also drops resources.
"""

from __future__ import annotations

import json
from typing import Any

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from pipeline.config.kubeflow_options import NodeOptions, Target, Volume, cores, gigabytes
from pipeline.kubeflow.parameters import Binding, RunParameter

_Types = pipeline_spec_pb2.ParameterType
_LegacyTypes = pipeline_spec_pb2.PrimitiveType

# A task often fails because its machine was taken away, and the next machine takes a while.
_BACKOFF_SECONDS, _BACKOFF_FACTOR, _BACKOFF_MOST_SECONDS = 30, 2.0, 600


class KfpTasks:
    """The tasks of a specification while they are completed.

    Args:
        spec: KFP's `PipelineSpec` in JSON values, as TFX compiles it.
        target: What it is compiled for.
    """

    def __init__(self, spec: dict[str, Any], target: Target):
        self._spec = json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
        self._target = target
        self._deployment = json_format.ParseDict(
            json_format.MessageToDict(self._spec.deployment_spec),
            pipeline_spec_pb2.PipelineDeploymentConfig(),
        )
        # Task → what `pipeline.kubeflow.entrypoint` writes into JSON parameters.
        self._writes: dict[str, list[str]] = {}
        # Executor → what Kubernetes has to know of it.
        self._kubernetes: dict[str, dict[str, Any]] = {}

    def _container(self, task: str) -> pipeline_spec_pb2.PipelineDeploymentConfig.PipelineContainerSpec:
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

    def _set_type(
        self, definition: pipeline_spec_pb2.ComponentInputsSpec.ParameterSpec, parameter: RunParameter
    ) -> None:
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
        """Removes values that the run will set from a JSON parameter: they are specific to this machine and would
        change the cache key.
        """
        value = self._spec.root.dag.tasks[task].inputs.parameters[binding.parameter].runtime_value
        constant = value.constant if self._target == "kubeflow" else value.constant_value
        whole = inner = json.loads(constant.string_value)
        *way, last = binding.path
        for key in way:
            inner = inner[key]
        del inner[last]
        constant.string_value = json.dumps(whole, sort_keys=True)

    def set_options(self, task: str, options: NodeOptions, volumes: list[Volume]) -> None:
        """Gives a task its resources, retries, caching, environment, machine and volumes."""
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
        # What `kfp-kubernetes` calls KubernetesExecutorConfig.
        kubernetes: dict[str, Any] = {}
        if options.node_selector:
            kubernetes["nodeSelector"] = {"labels": dict(options.node_selector)}
        if volumes:
            kubernetes["pvcMount"] = [
                {"constant": volume.claim, "mountPath": volume.mount} for volume in volumes
            ]
        if kubernetes and self._target == "kubeflow":
            self._kubernetes[self._spec.components[task].executor_label] = kubernetes

    def set_arguments(self, task: str, beam_args: list[str], module_root: str | None) -> None:
        """Puts the entrypoint's arguments before TFX's.

        Args:
            task: Its name. KFP stores a task under a hash of its container, so the name in it keeps tasks apart.
            beam_args: Options to remove from a task without Beam: TFX gives them to all.
            module_root: As in `compile_plan`.
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

    def finished(self, pipeline_root: str) -> dict[str, Any]:
        """The specification in JSON values."""
        if self._target == "kubeflow":
            self._spec.default_pipeline_root = pipeline_root
        self._spec.deployment_spec.Clear()
        self._spec.deployment_spec.update(json_format.MessageToDict(self._deployment))
        return json_format.MessageToDict(self._spec)

    def platform(self) -> dict[str, Any]:
        """KFP's `PlatformSpec` in JSON values; empty if Kubernetes has to know nothing."""
        if not self._kubernetes:
            return {}
        return {"platforms": {"kubernetes": {"deploymentSpec": {"executors": self._kubernetes}}}}
