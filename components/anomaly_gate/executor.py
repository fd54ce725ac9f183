"""Looks for what a model would suffer from in the data, and fails if it is not allowed."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from typing import Any

from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import io_utils

from components.anomaly_gate import contents, text_labels, validation
from components.anomaly_gate import statistics as tfdv_statistics
from components.anomaly_gate.data import Data
from components.anomaly_gate.finding import FINDINGS, Finding, as_property
from components.anomaly_gate.params import Labels, Validation
from components.anomaly_gate.statistics import EVAL, TRAIN
from components.common.base.errors import ParedownError
from components.common.data.examples import Examples

_log = logging.getLogger(__name__)


class DataAnomalyError(ParedownError):
    """The data are not fit to train on; the message has a line for each finding."""

    told_whole = True


def refuse(findings: Iterable[Finding]) -> None:
    """Raises a DataAnomalyError with a line for each finding that is refused."""
    lines = [finding.line() for finding in findings if finding.state == "refused"]
    if lines:
        raise DataAnomalyError("\n".join(lines))


def read_data(examples: str, statistics: str, schema: str, anomalies: str, labels: Labels) -> Data:
    """Reads everything that the validation looks at.

    Args:
        examples: Folder of the `Examples` artifact.
        statistics: Folder of the `ExampleStatistics` artifact.
        schema: Folder of the `Schema` artifact.
        anomalies: Folder of the `ExampleAnomalies` artifact.
        labels: The features that are predicted.

    Raises:
        FileNotFoundError: If a split has no statistics, or was not validated.
    """
    read = Examples(examples, schema, None, "")
    found = tfdv_statistics.load(statistics)
    within = {split: contents.read(read, split, labels.features) for split in (TRAIN, EVAL)}
    return Data(
        schema=text_labels.list_values(read.schema(), within[TRAIN].labels),
        statistics=found,
        contents=within,
        anomalies=tfdv_statistics.read_anomalies(anomalies),
        labels=labels,
    )


class Executor(base_executor.BaseExecutor):
    """Validates the data, then writes the schema, with the values of text labels."""

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
            output_dict: `schema` (Schema), with the findings that are not refused as `findings`, JSON.
            exec_properties: `validation` and `labels`, both JSON, and `code_version`, which is not used.

        Raises:
            DataAnomalyError: If a finding is refused.
            AllowanceError: If findings are allowed in an unknown feature.
        """
        options = Validation.model_validate_json(exec_properties["validation"])
        schema = artifact_utils.get_single_uri(input_dict["inferred_schema"])
        data = read_data(
            examples=artifact_utils.get_single_uri(input_dict["examples"]),
            statistics=artifact_utils.get_single_uri(input_dict["statistics"]),
            schema=schema,
            anomalies=artifact_utils.get_single_uri(input_dict["anomalies"]),
            labels=Labels.model_validate_json(exec_properties["labels"]),
        )
        findings = validation.find(data, options)
        for finding in findings:
            _log.info("%s (%s)", finding.line(), finding.state)
        refuse(findings)
        output = artifact_utils.get_single_instance(output_dict["schema"])
        os.makedirs(output.uri, exist_ok=True)
        io_utils.write_pbtxt_file(os.path.join(output.uri, "schema.pbtxt"), data.schema)
        output.set_string_custom_property(FINDINGS, as_property(findings))
