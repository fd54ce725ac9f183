"""The TFX node that lets a schema through only where the data meet it."""

from __future__ import annotations

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts
from tfx.types.channel import BaseChannel, Channel

from components.anomaly_gate import executor


class AnomalyGateSpec(component_spec.ComponentSpec):
    """Reads anomalies and a schema, hands the schema on."""

    PARAMETERS = {"code_version": component_spec.ExecutionParameter(type=str)}
    INPUTS = {
        "anomalies": component_spec.ChannelParameter(type=standard_artifacts.ExampleAnomalies),
        "inferred_schema": component_spec.ChannelParameter(type=standard_artifacts.Schema),
    }
    OUTPUTS = {"schema": component_spec.ChannelParameter(type=standard_artifacts.Schema)}


class AnomalyGate(base_component.BaseComponent):
    """Fails where ExampleValidator found anomalies, which itself only writes them down.

    Its output is the schema that training goes on with, so that no node can run before the check.
    """

    SPEC_CLASS = AnomalyGateSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(self, anomalies: BaseChannel, inferred_schema: BaseChannel, code_version: str):
        super().__init__(
            AnomalyGateSpec(
                anomalies=anomalies,
                inferred_schema=inferred_schema,
                schema=Channel(type=standard_artifacts.Schema),
                code_version=code_version,
            )
        )
