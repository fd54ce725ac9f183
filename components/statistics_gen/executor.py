"""Writes the statistics of each split."""

from __future__ import annotations

import os
from typing import Any

from tfx.components.statistics_gen import executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils

from components.common.base.beam_runner import asks_for_workers
from components.statistics_gen import in_process

_FILE = "FeatureStats.pb"


class Executor(executor.Executor):
    """TFX's StatisticsGen, whose Beam pipeline runs only if it is asked for, or needed to count many texts."""

    def Do(
        self,
        input_dict: dict[str, list[Any]],
        output_dict: dict[str, list[Any]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes the statistics.

        Args:
            input_dict: `examples` (Examples).
            output_dict: `statistics` (ExampleStatistics).
            exec_properties: Those of TFX's StatisticsGen.
        """
        examples = artifact_utils.get_single_instance(input_dict["examples"])
        made = artifact_utils.get_single_instance(output_dict["statistics"])
        found = {}
        if not asks_for_workers(list(self._beam_pipeline_args or [])):
            for split in artifact_utils.decode_split_names(examples.split_names):
                files = sorted(
                    fileio.glob(os.path.join(artifact_utils.get_split_uri([examples], split), "*"))
                )
                found[split] = in_process.of_files(files)
        if not found or any(statistics is None for statistics in found.values()):
            super().Do(input_dict, output_dict, exec_properties)
            return
        made.split_names = examples.split_names
        made.span = examples.span
        for split, statistics in found.items():
            folder = artifact_utils.get_split_uri([made], split)
            fileio.makedirs(folder)
            with fileio.open(os.path.join(folder, _FILE), "wb") as file:
                file.write(statistics.SerializeToString())
