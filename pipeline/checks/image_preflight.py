"""Every image before a run: whether it can be read as what it says it is."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator

from components.common.base.label import features_of
from components.common.base.texts import listed
from components.image_example_gen import image_file
from components.image_example_gen.image_file import ImageFileError
from components.image_example_gen.params import IMAGE_FEATURE
from pipeline.config.data_options import Data
from pipeline.config.problem import Location, Problem
from pipeline.plan import data_files

_MOST_FAULTS = 10  # of one split


def features(data: Data) -> dict[str, int]:
    """Feature → number of values in each example."""
    assert data.image is not None
    return {IMAGE_FEATURE: data.image.values(), **dict.fromkeys(features_of(data.label), 1)}


def count(data: Data) -> int:
    """Number of training examples; an estimate if a hash divides them."""
    return round(len(data_files.trained_files(data)) * data.splits.trained_share)


def check(data: Data) -> Iterator[Problem]:
    """Reads every image's header and end, and reports the files that cannot be used.

    Damage in the middle of a file is found when it is decoded, by the node that reads it.
    """
    for split, paths in data_files.files(data).items():
        faults: dict[str, list[str]] = defaultdict(list)
        for path in paths:
            try:
                image_file.check(path)
            except ImageFileError as error:
                faults[str(error)].append(os.path.relpath(path, data.path))
        at: Location = ("data", "splits", data_files.option_of(split))
        for fault, files in list(faults.items())[:_MOST_FAULTS]:
            each = "each of " if len(files) > 1 else ""
            yield Problem(f"{each}{listed(files)} {fault}", at)
        left = sum(len(files) for files in list(faults.values())[_MOST_FAULTS:])
        if left:
            yield Problem(f"{left} more images cannot be used", at)
