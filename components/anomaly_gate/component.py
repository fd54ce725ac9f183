"""The TFX node that passes a schema on only if the data meet it."""

from __future__ import annotations

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts
from tfx.types.channel import BaseChannel, Channel

from components.anomaly_gate import executor


class AnomalyGateSpec(component_spec.ComponentSpec):
    """Inputs that describe the data, and the schema as output."""

    PARAMETERS = {
        "validation": component_spec.ExecutionParameter(type=str),
        "labels": component_spec.ExecutionParameter(type=str),
        "code_version": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        "anomalies": component_spec.ChannelParameter(type=standard_artifacts.ExampleAnomalies),
        "inferred_schema": component_spec.ChannelParameter(type=standard_artifacts.Schema),
        "statistics": component_spec.ChannelParameter(type=standard_artifacts.ExampleStatistics),
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
    }
    OUTPUTS = {"schema": component_spec.ChannelParameter(type=standard_artifacts.Schema)}


class AnomalyGate(base_component.BaseComponent):
    """Fails if a model would suffer from the data; ExampleValidator itself only records anomalies.

    Its output is the schema that training uses, so that no other node can run before the check.
    """

    SPEC_CLASS = AnomalyGateSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        anomalies: BaseChannel,
        inferred_schema: BaseChannel,
        statistics: BaseChannel,
        examples: BaseChannel,
        validation: str,
        labels: str,
        code_version: str,
    ):
        """Declares the node.

        Args:
            anomalies: Output of ExampleValidator.
            inferred_schema: Output of SchemaGen, inferred from the train split.
            statistics: Output of StatisticsGen, for both splits.
            examples: Output of ExampleGen.
            validation: `components.anomaly_gate.params.Validation` as JSON.
            labels: `components.anomaly_gate.params.Labels` as JSON.
            code_version: Version of the executor's code.
        """
        super().__init__(
            AnomalyGateSpec(
                anomalies=anomalies,
                inferred_schema=inferred_schema,
                statistics=statistics,
                examples=examples,
                schema=Channel(type=standard_artifacts.Schema),
                validation=validation,
                labels=labels,
                code_version=code_version,
            )
        )
