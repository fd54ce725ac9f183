"""Folders of images: which classes they are, and the parameters of the node that reads them."""

from __future__ import annotations

from pathlib import Path

from components.common.base.class_order import in_order
from components.common.base.installed import version_of
from pipeline.config.data_options import Data
from pipeline.plan.code_version import component_version
from pipeline.plan.node import Parameter, to_json


def parameters(data: Data) -> dict[str, Parameter]:
    """The parameters that TFX's own ExampleGen does not have."""
    assert data.image is not None
    params = {
        "image": data.image.model_dump(),
        "label": data.label,
        "pillow": version_of("pillow"),  # which decodes and resizes
    }
    return {
        "params": to_json(params),
        "code_version": component_version("components.image_example_gen.executor"),
    }


def class_of(path: Path) -> str:
    """Class of an image: the name of the folder that it is in."""
    return path.parent.name


def classes(data: Data, train_files: list[Path]) -> list[str]:
    """Classes of image folders in the order of the model's outputs."""
    return list(data.class_names() or in_order({class_of(path) for path in train_files}))
