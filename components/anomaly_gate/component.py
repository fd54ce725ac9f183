"""The TFX node that lets a schema through only where the data meet it."""

from __future__ import annotations

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts
from tfx.types.channel import BaseChannel, Channel

from components.anomaly_gate import executor


class AnomalyGateSpec(component_spec.ComponentSpec):
    """Reads what is known of the data, hands the schema on."""

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
    """Fails where a model would suffer from the data; ExampleValidator itself only writes anomalies down.

    Its output is the schema that training goes on with, so that no node can run before the check.
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
            anomalies: ExampleValidator's.
            inferred_schema: SchemaGen's, of the train split.
            statistics: StatisticsGen's, of both splits.
            examples: What ExampleGen read.
            validation: As components.anomaly_gate.params, JSON.
            labels: As components.anomaly_gate.data.Labels, JSON.
            code_version: Of the executor.
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
