"""Shared code of nodes that read files of examples and have a version."""

from __future__ import annotations

from typing import Any

from tfx.components.example_gen.component import FileBasedExampleGen
from tfx.dsl.components.base import base_beam_component
from tfx.proto import example_gen_pb2
from tfx.types import component_spec, standard_artifacts, standard_component_specs
from tfx.types.channel import Channel


class VersionedExampleGenSpec(standard_component_specs.FileBasedExampleGenSpec):
    """Spec of TFX's ExampleGen for files, with the executor's version."""

    PARAMETERS = {
        **standard_component_specs.FileBasedExampleGenSpec.PARAMETERS,
        "code_version": component_spec.ExecutionParameter(type=str),
    }


class VersionedExampleGen(FileBasedExampleGen):
    """A TFX ExampleGen: the driver finds the files and their fingerprint, the executor splits them."""

    SPEC_CLASS = VersionedExampleGenSpec

    def __init__(
        self,
        input_base: str,
        input_config: Any,
        code_version: str,
        output_config: Any = None,
        range_config: Any = None,
        **parameters: Any,
    ):
        """Declares the node.

        Args:
            input_base: Folder of the files.
            input_config: `example_gen_pb2.Input`: splits and their patterns.
            code_version: Code version of the executor.
            output_config: `example_gen_pb2.Output`, if one input split is divided by hash.
            range_config: `range_config_pb2.RangeConfig`, if patterns name spans.
            **parameters: More parameters of the spec.
        """
        spec = self.SPEC_CLASS(
            input_base=input_base,
            input_config=input_config,
            output_config=output_config or example_gen_pb2.Output(),
            range_config=range_config,
            output_data_format=example_gen_pb2.FORMAT_TF_EXAMPLE,
            output_file_format=example_gen_pb2.FORMAT_TFRECORDS_GZIP,
            code_version=code_version,
            examples=Channel(type=standard_artifacts.Examples),
            **parameters,
        )
        # TFX's constructor would make a spec without these parameters.
        base_beam_component.BaseBeamComponent.__init__(self, spec=spec)
