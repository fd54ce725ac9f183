"""The TFX node that picks the winner."""

from __future__ import annotations

from typing import Any

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts
from tfx.types.channel import BaseChannel, Channel

from components.artifacts import OptimizationReport
from components.selector import executor

_INPUT_TYPES = {
    "model": standard_artifacts.Model,
    "blessing": standard_artifacts.ModelBlessing,
    "evaluation": standard_artifacts.ModelEvaluation,
}


class SelectorSpec(component_spec.ComponentSpec):
    """Parameters and outputs of every selector; its inputs depend on the candidates."""

    PARAMETERS = {
        "candidates": component_spec.ExecutionParameter(type=str),
        "select": component_spec.ExecutionParameter(type=str),
        "code_version": component_spec.ExecutionParameter(type=str),
    }
    INPUTS: dict[str, Any] = {}
    OUTPUTS = {
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "blessing": component_spec.ChannelParameter(type=standard_artifacts.ModelBlessing),
        "report": component_spec.ChannelParameter(type=OptimizationReport),
    }


class Selector(base_component.BaseComponent):
    """Takes each candidate as separate named inputs: a list of artifacts does not run on Kubeflow."""

    SPEC_CLASS = SelectorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(self, candidates: str, select: str, code_version: str, **inputs: BaseChannel):
        """Declares the node.

        Args:
            candidates: Names, a JSON list.
            select: As in components.selector.params, JSON.
            code_version: Code version of the executor.
            **inputs: `model_<name>`, `blessing_<name>` and `evaluation_<name>` for each candidate.
        """
        spec_class = type(
            "SelectorSpec",
            (SelectorSpec,),
            {
                "INPUTS": {
                    # Outputs of a failed node do not exist.
                    key: component_spec.ChannelParameter(
                        type=_INPUT_TYPES[key.partition("_")[0]], optional=True
                    )
                    for key in inputs
                }
            },
        )
        super().__init__(
            spec_class(
                candidates=candidates,
                select=select,
                code_version=code_version,
                model=Channel(type=standard_artifacts.Model),
                blessing=Channel(type=standard_artifacts.ModelBlessing),
                report=Channel(type=OptimizationReport),
                **inputs,
            )
        )
