"""What Paredown reads of a compiled pipeline: parts of KFP's `PipelineSpec`, of schema 2.1, or 2.0 for Vertex AI.

Imports neither TensorFlow nor TFX nor KFP.
"""

from __future__ import annotations

import graphlib
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from pipeline.kubeflow.executor_input import plain


class _Part(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, frozen=True)


class Parameter(_Part):
    """Definition of a parameter of a run."""

    parameter_type: str = "STRING"
    default_value: Any = None
    is_optional: bool = False

    def default(self) -> Any:
        """Its default, None if it has none; protocol buffers know numbers as floating-point ones only."""
        whole = self.parameter_type == "NUMBER_INTEGER" and self.default_value is not None
        return int(self.default_value) if whole else self.default_value


class _InputDefinitions(_Part):
    parameters: dict[str, Parameter] = {}


class _Value(_Part):
    constant: Any = None
    constant_value: dict[str, Any] | None = None  # schema 2.0


class _Source(_Part):
    runtime_value: _Value | None = None
    component_input_parameter: str | None = None


class _Inputs(_Part):
    parameters: dict[str, _Source] = {}


class _ComponentRef(_Part):
    name: str


class Task(_Part):
    """A task of the pipeline."""

    component_ref: _ComponentRef
    dependent_tasks: tuple[str, ...] = ()
    inputs: _Inputs = _Inputs()

    def constants(self) -> dict[str, Any]:
        """Its parameters that the pipeline holds, and no run sets."""
        found = {}
        for key, source in self.inputs.parameters.items():
            value = source.runtime_value
            if value is not None:
                found[key] = value.constant if value.constant_value is None else plain(value.constant_value)
        return found


class _Dag(_Part):
    tasks: dict[str, Task] = Field(min_length=1)


class _Root(_Part):
    dag: _Dag
    input_definitions: _InputDefinitions = _InputDefinitions()


class _Component(_Part):
    executor_label: str


class Container(_Part):
    """What runs a task."""

    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()


class _Executor(_Part):
    container: Container


class _DeploymentSpec(_Part):
    executors: dict[str, _Executor] = Field(min_length=1)


class _PipelineInfo(_Part):
    name: str = Field(min_length=1)


class Spec(_Part):
    """A compiled pipeline."""

    pipeline_info: _PipelineInfo
    schema_version: str = Field(min_length=1)
    root: _Root
    components: dict[str, _Component]
    deployment_spec: _DeploymentSpec

    @model_validator(mode="after")
    def _complete(self) -> Spec:
        for name, task in self.tasks.items():
            missing = set(task.dependent_tasks) - set(self.tasks)
            if missing:
                raise ValueError(f"the task {name} depends on {missing.pop()}, which is missing")
            component = self.components.get(task.component_ref.name)
            if component is None or component.executor_label not in self.deployment_spec.executors:
                raise ValueError(f"the component of the task {name} is missing")
        return self

    @property
    def name(self) -> str:
        """The pipeline's name."""
        return self.pipeline_info.name

    @property
    def parameters(self) -> dict[str, Parameter]:
        """Name → definition of each parameter of a run."""
        return self.root.input_definitions.parameters

    @property
    def tasks(self) -> dict[str, Task]:
        """Name → task."""
        return self.root.dag.tasks

    def container(self, task: Task) -> Container:
        """The container of a task."""
        label = self.components[task.component_ref.name].executor_label
        return self.deployment_spec.executors[label].container

    def levels(self) -> list[list[str]]:
        """Names of the tasks by level: each depends on tasks of earlier levels only."""
        sorter = graphlib.TopologicalSorter(
            {name: task.dependent_tasks for name, task in self.tasks.items()}
        )
        sorter.prepare()
        found = []
        while sorter.is_active():
            found.append(sorted(sorter.get_ready()))
            sorter.done(*found[-1])
        return found

    def order(self) -> list[str]:
        """Names of the tasks, each after those that it depends on."""
        return [name for level in self.levels() for name in level]

    def width(self) -> int:
        """How many tasks can run at a time, counted level by level."""
        return max(map(len, self.levels()))
