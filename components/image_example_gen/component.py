"""The TFX node that reads folders of images."""

from __future__ import annotations

from tfx.dsl.components.base import executor_spec
from tfx.types import component_spec

from components.common.data.file_example_gen import VersionedExampleGen, VersionedExampleGenSpec
from components.image_example_gen import executor


class ImageExampleGenSpec(VersionedExampleGenSpec):
    """Spec of an ExampleGen for files, with size and channels of the images.

    `params` is JSON: `image`, as components.image_example_gen.params, and `label`, the feature that gets the class.
    """

    PARAMETERS = {
        **VersionedExampleGenSpec.PARAMETERS,
        "params": component_spec.ExecutionParameter(type=str),
    }


class ImageExampleGen(VersionedExampleGen):
    """Reads each `<…>/<class>/<file>` as an example with the feature `image` and a label, the name of the folder.

    The last part but one of its patterns matches class folders.
    """

    SPEC_CLASS = ImageExampleGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)
