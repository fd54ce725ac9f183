"""Decodes images into examples."""

from __future__ import annotations

import json
import os
import posixpath
from collections.abc import Mapping
from typing import Any

import apache_beam as beam
import tensorflow as tf
from tfx.components.example_gen import base_example_gen_executor
from tfx.dsl.io import fileio

from components.image_example_gen import image_file
from components.image_example_gen.image_file import ImageFileError
from components.image_example_gen.params import IMAGE_FEATURE


def class_of(path: str) -> str:
    """Class of an image: the name of the folder that it is in."""
    return posixpath.basename(posixpath.dirname(path))


def to_example(path: str, params: Mapping[str, Any]) -> tf.train.Example:
    """Reads one image.

    Args:
        path: The file, on any file system that TensorFlow reads.
        params: `image`: `size` and `channels`; `label`: the feature that gets the class.

    Returns:
        An example with height × width × channels integers 0 to 255, in this order of axes, row by row,
        and the class.

    Raises:
        ImageFileError: With the name of the file.
    """
    with fileio.open(path, "rb") as file:
        content = file.read()
    height, width = params["image"]["size"]
    try:
        pixels = image_file.read(content, (height, width), params["image"]["channels"])
    except ImageFileError as error:
        raise ImageFileError(f"{path} {error}") from error
    example = tf.train.Example()
    example.features.feature[IMAGE_FEATURE].int64_list.value.extend(pixels.ravel().tolist())
    example.features.feature[params["label"]].bytes_list.value.append(class_of(path).encode())
    return example


@beam.ptransform_fn
@beam.typehints.with_input_types(beam.Pipeline)
@beam.typehints.with_output_types(tf.train.Example)
def _read_images(
    pipeline: beam.Pipeline, exec_properties: dict[str, Any], split_pattern: str
) -> beam.PCollection:
    params = json.loads(exec_properties["params"])
    pattern = os.path.join(exec_properties["input_base"], split_pattern)
    files = sorted(path for path in fileio.glob(pattern) if not fileio.isdir(path))
    if not files:
        raise ImageFileError(f"{pattern} matches no file; write a pattern that matches images")
    return (
        pipeline
        | "ListFiles" >> beam.Create(files)
        | "Spread" >> beam.Reshuffle()
        | "Decode" >> beam.Map(to_example, params)
    )


class Executor(base_example_gen_executor.BaseExampleGenExecutor):
    """TFX's ExampleGen for images; `exec_properties` also has `params`, as the component says."""

    def GetInputSourceToExamplePTransform(self) -> Any:
        """The transform that reads the files of one split."""
        return _read_images
