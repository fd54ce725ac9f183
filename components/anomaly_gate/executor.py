"""Reads ExampleValidator's anomalies and stops where there are any."""

from __future__ import annotations

import glob
import os
import shutil
from typing import Any

from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils


class DataAnomalyError(Exception):
    """The data do not meet their schema; the message names each anomaly."""


def read_anomalies(uri: str) -> dict[str, dict[str, str]]:
    """Reads an `ExampleAnomalies` artifact.

    Args:
        uri: Folder with a `Split-<name>/SchemaDiff.pb` for each split.

    Returns:
        Split → feature → what is wrong with it. A split without anomalies is left out.

    Raises:
        FileNotFoundError: Where there is no split at all.
    """
    from tensorflow_metadata.proto.v0 import anomalies_pb2

    files = sorted(glob.glob(os.path.join(uri, "Split-*", "SchemaDiff.pb")))
    if not files:
        raise FileNotFoundError(f"no Split-*/SchemaDiff.pb in {uri}: the examples were not validated")
    found: dict[str, dict[str, str]] = {}
    for path in files:
        anomalies = anomalies_pb2.Anomalies()
        with open(path, "rb") as file:
            anomalies.ParseFromString(file.read())
        split = os.path.basename(os.path.dirname(path)).removeprefix("Split-")
        named = {
            feature: f"{info.short_description}: {info.description}"
            for feature, info in anomalies.anomaly_info.items()
        }
        if anomalies.HasField("dataset_anomaly_info"):
            named["(the data set)"] = anomalies.dataset_anomaly_info.description
        if named:
            found[split] = named
    return found


def refuse_anomalies(uri: str) -> None:
    """Raises a DataAnomalyError that names every anomaly of an `ExampleAnomalies` artifact."""
    lines = [
        f"feature {feature!r} of split {split!r}: {what}"
        for split, anomalies in read_anomalies(uri).items()
        for feature, what in sorted(anomalies.items())
    ]
    if lines:
        raise DataAnomalyError("; ".join(lines))


class Executor(base_executor.BaseExecutor):
    """Checks, then copies the schema."""

    def Do(
        self,
        input_dict: dict[str, list[Any]],
        output_dict: dict[str, list[Any]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Runs the check.

        Args:
            input_dict: `anomalies` (ExampleAnomalies) and `inferred_schema` (Schema).
            output_dict: `schema` (Schema).
            exec_properties: `code_version`, not used.

        Raises:
            DataAnomalyError: Where there are anomalies.
        """
        refuse_anomalies(artifact_utils.get_single_uri(input_dict["anomalies"]))
        shutil.copytree(
            artifact_utils.get_single_uri(input_dict["inferred_schema"]),
            artifact_utils.get_single_uri(output_dict["schema"]),
            dirs_exist_ok=True,
        )
