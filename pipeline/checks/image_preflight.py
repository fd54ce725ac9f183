"""Looks at every image before a run: whether it can be read as what it says it is."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator

from components.image_example_gen import image_file
from components.image_example_gen.image_file import ImageFileError
from components.image_example_gen.params import IMAGE_FEATURE
from pipeline.config.data_options import Data
from pipeline.config.problem import Location
from pipeline.plan import data_files

# Files in one message, and messages of one split.
_LISTED, _TOLD = 6, 10


def features(data: Data) -> dict[str, int]:
    """Feature → number of values in each example."""
    assert data.image is not None
    return {IMAGE_FEATURE: data.image.values(), data.label: 1}


def count(data: Data) -> int:
    """Number of training examples; about so many where a hash divides them."""
    return round(len(data_files.trained_files(data)) * (1 - (data.splits.eval_fraction or 0)))


def mistakes(data: Data) -> Iterator[tuple[Location, str]]:
    """Reads every image's header and end, and tells which could not be used.

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
        for fault, files in list(faults.items())[:_TOLD]:
            if len(files) == 1:
                yield at, f"{files[0]} {fault}"
            else:
                more = f" and {len(files) - _LISTED} more" if len(files) > _LISTED else ""
                yield at, f"each of {', '.join(files[:_LISTED])}{more} {fault}"
        left = sum(len(files) for files in list(faults.values())[_TOLD:])
        if left:
            yield at, f"{left} more images cannot be used"
