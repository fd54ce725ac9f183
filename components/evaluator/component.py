"""The TFX node that judges a candidate."""

from __future__ import annotations

from typing import Any

from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import component_spec, standard_artifacts
from tfx.types.channel import BaseChannel, Channel

from components.evaluator import executor


class EvaluatorSpec(component_spec.ComponentSpec):
    """What the evaluator reads, writes and is given."""

    PARAMETERS = {
        "gate": component_spec.ExecutionParameter(type=str),
        "label": component_spec.ExecutionParameter(type=str),
        "label_options": component_spec.ExecutionParameter(type=str),
        "seed": component_spec.ExecutionParameter(type=int),
        "code_modules": component_spec.ExecutionParameter(type=str),
        "code_version": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "baseline": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "schema": component_spec.ChannelParameter(type=standard_artifacts.Schema),
        "transform_graph": component_spec.ChannelParameter(
            type=standard_artifacts.TransformGraph, optional=True
        ),
        # What the transform graph is applied to, as serving does; given with it.
        "raw_examples": component_spec.ChannelParameter(type=standard_artifacts.Examples, optional=True),
    }
    OUTPUTS = {
        "evaluation": component_spec.ChannelParameter(type=standard_artifacts.ModelEvaluation),
        "blessing": component_spec.ChannelParameter(type=standard_artifacts.ModelBlessing),
    }


class Evaluator(base_beam_component.BaseBeamComponent):
    """Compares a converted candidate with the converted baseline; see components.evaluator.params."""

    SPEC_CLASS = EvaluatorSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        model: BaseChannel,
        baseline: BaseChannel,
        examples: BaseChannel,
        schema: BaseChannel,
        transform_graph: BaseChannel | None = None,
        raw_examples: BaseChannel | None = None,
        **parameters: Any,
    ):
        super().__init__(
            EvaluatorSpec(
                model=model,
                baseline=baseline,
                examples=examples,
                schema=schema,
                transform_graph=transform_graph,
                raw_examples=raw_examples,
                evaluation=Channel(type=standard_artifacts.ModelEvaluation),
                blessing=Channel(type=standard_artifacts.ModelBlessing),
                **parameters,
            )
        )
