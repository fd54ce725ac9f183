"""Takes examples from TFRecord files."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from google.protobuf import json_format
from tfx.components.example_gen import utils
from tfx.components.example_gen.import_example_gen import executor
from tfx.components.util import examples_utils
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils

from components.common.base.beam_runner import asks_for_workers
from components.import_example_gen import records
from components.import_example_gen.records import RecordError

_FILE_FORMAT = "tfrecords_gzip"


class Executor(executor.Executor):
    """TFX's ImportExampleGen, whose Beam pipeline runs only if it is asked for."""

    def Do(
        self,
        input_dict: dict[str, list[Any]],
        output_dict: dict[str, list[Any]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes the splits.

        Args:
            input_dict: Nothing.
            output_dict: `examples` (Examples).
            exec_properties: Those of TFX's ImportExampleGen.

        Raises:
            RecordError: If a split has no file, or a record is not an example.
        """
        if asks_for_workers(list(self._beam_pipeline_args or [])):
            super().Do(input_dict, output_dict, exec_properties)
            return
        given = json_format.Parse(exec_properties["input_config"], example_gen_pb2.Input())
        wanted = json_format.Parse(exec_properties["output_config"], example_gen_pb2.Output())
        made = artifact_utils.get_single_instance(output_dict["examples"])
        names = utils.generate_output_split_names(given, wanted)
        made.split_names = artifact_utils.encode_split_names(names)
        folders = [artifact_utils.get_split_uri([made], name) for name in names]
        base = exec_properties["input_base"]
        patterns = [os.path.join(base, split.pattern) for split in given.splits]
        files = [sorted(fileio.glob(pattern)) for pattern in patterns]
        for pattern, found in zip(patterns, files, strict=True):
            if not found:
                raise RecordError(f"no file matches {pattern}")
        if wanted.split_config.splits:
            records.divide(files[0], folders, wanted.split_config)
        else:
            with ThreadPoolExecutor() as threads:
                list(threads.map(records.write_split, files, folders))
        examples_utils.set_payload_format(made, exec_properties["output_data_format"])
        examples_utils.set_file_format(made, _FILE_FORMAT)
