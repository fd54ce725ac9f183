"""Looks for what a model would suffer from in the data, and stops where it is not let pass."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterable
from typing import Any

from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from components.anomaly_gate import contents, validation
from components.anomaly_gate import statistics as tfdv_statistics
from components.anomaly_gate.data import Data, Labels
from components.anomaly_gate.finding import FINDINGS, Finding, as_property
from components.anomaly_gate.params import Validation
from components.anomaly_gate.statistics import EVAL, TRAIN
from components.common.data.examples import Examples

_log = logging.getLogger(__name__)


class DataAnomalyError(Exception):
    """The data are not fit to train on; the message has a line for each finding."""

    told_whole = True


def refuse(findings: Iterable[Finding]) -> None:
    """Raises a DataAnomalyError with a line for each finding that is not let pass."""
    lines = [finding.line() for finding in findings if finding.state == "refused"]
    if lines:
        raise DataAnomalyError("\n".join(lines))


def read_data(examples: str, statistics: str, schema: str, anomalies: str, labels: Labels) -> Data:
    """Reads everything that a validation looks at.

    Args:
        examples: Folder of the `Examples` artifact.
        statistics: Folder of the `ExampleStatistics` artifact.
        schema: Folder of the `Schema` artifact.
        anomalies: Folder of the `ExampleAnomalies` artifact.
        labels: What is predicted.

    Raises:
        FileNotFoundError: Where a split has no statistics, or was not validated.
    """
    read = Examples(examples, schema, None, "")
    found = tfdv_statistics.load(statistics)
    return Data(
        schema=read.schema(),
        statistics=found,
        contents={split: contents.read(read, split, labels.features) for split in (TRAIN, EVAL)},
        anomalies=tfdv_statistics.read_anomalies(anomalies),
        labels=labels,
    )


class Executor(base_executor.BaseExecutor):
    """Validates, then copies the schema."""

    def Do(
        self,
        input_dict: dict[str, list[Any]],
        output_dict: dict[str, list[Any]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Validates the data.

        Args:
            input_dict: `anomalies` (ExampleAnomalies), `inferred_schema` (Schema), `statistics`
                (ExampleStatistics) and `examples` (Examples).
            output_dict: `schema` (Schema), with all that was found and let pass as `findings`, JSON.
            exec_properties: `validation` and `labels`, both JSON, and `code_version`, not used.

        Raises:
            DataAnomalyError: Where something was found that is not let pass.
            AllowanceError: Where an unknown feature would be let pass.
        """
        options = Validation.model_validate_json(exec_properties["validation"])
        labels = json.loads(exec_properties["labels"])
        schema = artifact_utils.get_single_uri(input_dict["inferred_schema"])
        data = read_data(
            examples=artifact_utils.get_single_uri(input_dict["examples"]),
            statistics=artifact_utils.get_single_uri(input_dict["statistics"]),
            schema=schema,
            anomalies=artifact_utils.get_single_uri(input_dict["anomalies"]),
            labels=Labels(
                tuple(labels["features"]),
                labels["classes"],
                labels["perhaps_amounts"],
                tuple(labels["names"]),
            ),
        )
        findings = validation.find(data, options)
        for finding in findings:
            _log.info("%s (%s)", finding.line(), finding.state)
        refuse(findings)
        output = artifact_utils.get_single_instance(output_dict["schema"])
        os.makedirs(output.uri, exist_ok=True)
        shutil.copytree(schema, output.uri, dirs_exist_ok=True)
        output.set_string_custom_property(FINDINGS, as_property(findings))
