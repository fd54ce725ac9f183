"""Looks at the data before a run: whether they can be read, and which features they have."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from components.common.user_module import describe
from pipeline import image_preflight
from pipeline.checks import split_files
from pipeline.config import Config
from pipeline.config_file import Location, nearest
from pipeline.records import read_through

Mistake = tuple[Location, str]


@dataclass(frozen=True)
class DataFacts:
    """What a look at the data tells.

    Attributes:
        features: Feature → number of values in the first training record; None where there is none.
        examples: Number of training examples; None where they were not counted.
    """

    features: dict[str, int] | None = None
    examples: int | None = None


def check_data(config: Config, transforms: bool, whole: bool) -> tuple[DataFacts, list[Mistake]]:
    """Reads the data files.

    Args:
        config: Whose data section names them.
        transforms: Whether a preprocessing_fn makes other features of them.
        whole: Whether files are read to their ends, checksums included; the first record's features
            always are.
    """
    if config.data.format == "images":
        features = image_preflight.features(config.data)
        return DataFacts(features, image_preflight.count(config.data)), [
            *(image_preflight.mistakes(config.data) if whole else ()),
            *_slice_mistakes(config, transforms, features),
        ]
    features, examples = None, None
    mistakes: list[Mistake] = []
    for split in ("train", "eval"):
        where: Location = ("data", "splits", split)
        first, total = None, 0
        for path in split_files(config.data.path, getattr(config.data.splits, split)):
            try:
                count, example = read_through(str(path), whole)
            except (tf.errors.OpError, ValueError) as error:
                if not whole:  # what nobody will read need not be whole
                    continue
                mistakes.append((where, f"{path} is damaged: {describe(error)}; fetch or write it again"))
                continue
            if count == 0:
                mistakes.append((where, f"{path} has no records; write some, or exclude it by the pattern"))
                continue
            first = first or example
            total += count
        if split == "train" and whole:
            examples = total or None
        if first is not None:
            found = _features(first)
            mistakes += _label_mistakes(config, transforms, found, split)
            if split == "train":
                features = found
                mistakes += _slice_mistakes(config, transforms, found)
    return DataFacts(features, examples), mistakes


def _features(example: tf.train.Example) -> dict[str, int]:
    return {
        name: len(getattr(value, kind).value) if (kind := value.WhichOneof("kind")) else 0
        for name, value in example.features.feature.items()
    }


def _label_mistakes(
    config: Config, transforms: bool, features: dict[str, int], split: str
) -> list[Mistake]:
    label = config.data.label
    if not features:
        return [(("data", "splits", split), "the first record is no tf.Example with features")]
    if label not in features and not transforms and split == "train":
        return [(("data", "label"), f"{label!r} is no feature of the data, which has {sorted(features)}")]
    return []


def _slice_mistakes(config: Config, transforms: bool, features: dict[str, int]) -> list[Mistake]:
    known = sorted(features)
    return [
        (
            ("gate", "accuracy", "slices", index, "by"),
            f"{feature!r} is no feature of the data{nearest(feature, known)}; it has {known}",
        )
        for index, limits in enumerate(config.gate.accuracy.slices)
        for feature in limits.features()
        if feature not in features and not transforms
    ]
