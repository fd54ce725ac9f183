"""The `data` section of a config. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from components.common.step import Options


class Splits(Options):
    """Which files hold which split, as glob patterns below `data.path`."""

    train: str = Field(default="train*", description="Files to train and calibrate on.")
    eval: str = Field(default="eval*", description="Files that the gate measures accuracy on.")


class Data(Options):
    """The examples."""

    format: Literal["tfrecord"] = Field(
        default="tfrecord",
        description="tfrecord: tf.Example records, raw or gzip-compressed (*.gz).",
    )
    path: str = Field(min_length=1, description="Folder of the files, from the working directory.")
    splits: Splits = Field(default=Splits(), description="Which files hold which split.")
    label: str = Field(min_length=1, description="The feature that the model predicts.")
