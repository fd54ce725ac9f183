"""The parts of a compiled pipeline that Paredown reads: parts of KFP's `PipelineSpec`, of schema 2.1, or 2.0 for
Vertex AI.

Imports neither TensorFlow nor TFX nor KFP.
"""

from __future__ import annotations

import graphlib
from typing import Any

from pydantic import AliasPath, BaseModel, ConfigDict, Field, model_validator
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


class _Source(_Part):
    constant: Any = Field(default=None, validation_alias=AliasPath("runtimeValue", "constant"))
    # In schema 2.0.
    constant_value: dict[str, Any] | None = Field(
        default=None, validation_alias=AliasPath("runtimeValue", "constantValue")
    )
    component_input_parameter: str | None = None


class Task(_Part):
    """A task of the pipeline."""

    component: str = Field(validation_alias=AliasPath("componentRef", "name"))
    dependent_tasks: tuple[str, ...] = ()
    parameters: dict[str, _Source] = Field(default={}, validation_alias=AliasPath("inputs", "parameters"))

    def constants(self) -> dict[str, Any]:
        """Its parameters that the pipeline holds, and no run sets."""
        return {
            key: source.constant if source.constant_value is None else plain(source.constant_value)
            for key, source in self.parameters.items()
            if source.component_input_parameter is None
        }


class _Component(_Part):
    executor_label: str


class Container(_Part):
    """The executor of a task."""

    command: tuple[str, ...] = Field(default=(), validation_alias=AliasPath("container", "command"))
    args: tuple[str, ...] = Field(default=(), validation_alias=AliasPath("container", "args"))


class Spec(_Part):
    """A compiled pipeline.

    Attributes:
        name: The pipeline's name.
        schema_version: Version of KFP's schema.
        tasks: Name → task.
        parameters: Name → definition of each parameter of a run.
        components: Name → the executor of a component's tasks.
        executors: Label → container of an executor.
    """

    name: str = Field(min_length=1, validation_alias=AliasPath("pipelineInfo", "name"))
    schema_version: str = Field(min_length=1)
    tasks: dict[str, Task] = Field(min_length=1, validation_alias=AliasPath("root", "dag", "tasks"))
    parameters: dict[str, Parameter] = Field(
        default={}, validation_alias=AliasPath("root", "inputDefinitions", "parameters")
    )
    components: dict[str, _Component]
    executors: dict[str, Container] = Field(
        min_length=1, validation_alias=AliasPath("deploymentSpec", "executors")
    )

    @model_validator(mode="after")
    def _complete(self) -> Spec:
        for name, task in self.tasks.items():
            missing = set(task.dependent_tasks) - set(self.tasks)
            if missing:
                raise ValueError(f"the task {name} depends on {missing.pop()}, which is missing")
            component = self.components.get(task.component)
            if component is None or component.executor_label not in self.executors:
                raise ValueError(f"the component of the task {name} is missing")
        return self

    def container(self, task: Task) -> Container:
        """The container of a task."""
        return self.executors[self.components[task.component].executor_label]

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
