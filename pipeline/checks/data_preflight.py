"""Looks at the data before a run: whether they can be read, and which features they have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import tensorflow as tf

from components.common.base.label import places
from components.common.base.near_names import nearest
from components.common.models.user_module import describe
from pipeline.checks import image_preflight, table_preflight
from pipeline.checks.gate_figures import accuracy_gates
from pipeline.checks.records import read_through
from pipeline.config.config import Config
from pipeline.config.problem import Location
from pipeline.plan import data_files
from pipeline.plan.node import EVALUATED_SPLIT

Mistake = tuple[Location, str]


@dataclass(frozen=True)
class DataFacts:
    """What a look at the data tells.

    Attributes:
        features: Feature → number of values in the first training record; None where there is none.
        examples: Number of training examples; None where they were not counted.
        missing: Feature → in words, which examples have no value of it; features that all have are left out.
    """

    features: dict[str, int] | None = None
    examples: int | None = None
    missing: Mapping[str, str] = field(default_factory=dict)


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
            *_slice_mistakes(config, features),
        ]
    if config.data.format in table_preflight.FORMATS:
        return _check_tables(config, transforms, whole)
    features, examples = None, None
    mistakes: list[Mistake] = []
    for split, paths in data_files.files(config.data).items():
        where: Location = ("data", "splits", data_files.option_of(split))
        trained = split != EVALUATED_SPLIT
        first, total = None, 0
        for path in paths:
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
        if trained and whole:
            examples = total or None
        if first is not None:
            found = _features(first)
            mistakes += _label_mistakes(config, transforms, found, where, trained)
            if trained:
                mistakes += _hash_mistakes(config, first)
                features = found
                mistakes += _slice_mistakes(config, found)
    if examples and config.data.splits.eval_fraction is not None:
        examples = round(examples * (1 - config.data.splits.eval_fraction))
    return DataFacts(features, examples), mistakes


def _check_tables(config: Config, transforms: bool, whole: bool) -> tuple[DataFacts, list[Mistake]]:
    tables = table_preflight.read(config.data, whole)
    mistakes = list(table_preflight.mistakes(config.data, tables, transforms))
    features = table_preflight.features(tables)
    if not features:
        return DataFacts(), mistakes
    if not mistakes:
        mistakes += _label_mistakes(config, transforms, features, ("data", "splits"), trained=True)
        mistakes += _slice_mistakes(config, features)
    missing = table_preflight.missing(tables)
    return DataFacts(features, table_preflight.examples(config.data, tables), missing), mistakes


def _features(example: tf.train.Example) -> dict[str, int]:
    return {
        name: len(getattr(value, kind).value) if (kind := value.WhichOneof("kind")) else 0
        for name, value in example.features.feature.items()
    }


def _label_mistakes(
    config: Config, transforms: bool, features: dict[str, int], where: Location, trained: bool
) -> list[Mistake]:
    if not features:
        return [(where, "the first record is no tf.Example with features")]
    if transforms or not trained:
        return []
    return [
        (("data", "label", *within), f"{name!r} is no feature of the data, which has {sorted(features)}")
        for within, name in places(config.data.label).items()
        if name not in features
    ]


def _hash_mistakes(config: Config, first: tf.train.Example) -> list[Mistake]:
    name = config.data.splits.hash_by
    if name is None:
        return []
    at: Location = ("data", "splits", "hash_by")
    known = sorted(first.features.feature)
    if name not in known:
        return [(at, f"{name!r} is no feature of the data{nearest(name, known)}; it has {known}")]
    if first.features.feature[name].WhichOneof("kind") not in ("int64_list", "bytes_list"):
        return [
            (
                at,
                f"{name!r} has no integer and no text in the first record, and TFX hashes these; name another",
            )
        ]
    return []


def _slice_mistakes(config: Config, features: dict[str, int]) -> list[Mistake]:
    known = sorted(features)
    return [
        (
            (*at, "slices", index, "by"),
            f"{feature!r} is no feature of the data{nearest(feature, known)}; it has {known}",
        )
        for at, figure in accuracy_gates(config.gate)
        for index, limits in enumerate(figure.slices)
        for feature in limits.features()
        if feature not in features
    ]
