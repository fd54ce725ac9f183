"""The data before a run: whether they can be read, and which features they have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from components.common.base.label import places
from components.common.base.near_names import nearest
from pipeline.checks import image_preflight, records, table_preflight
from pipeline.checks.gate_metrics import accuracy_gates
from pipeline.checks.odd_cells import OddCells
from pipeline.config.config import Config
from pipeline.config.problem import Problem


@dataclass(frozen=True)
class DataFacts:
    """Facts about the examples, from the data files.

    Attributes:
        features: Feature → number of values in the first training record; None if there is none.
        examples: Number of training examples; None if they were not counted.
        missing: Feature that some examples have no value of → which ones, in words.
        ragged: Feature of which examples have different numbers of values → which ones, in words.
        kinds: Feature → the type of its values, as `table` names types; features of unknown type are left out.
        odd_cells: Feature that is text because some cells of numbers are → these cells.
    """

    features: dict[str, int] | None = None
    examples: int | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    ragged: Mapping[str, str] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)
    odd_cells: Mapping[str, OddCells] = field(default_factory=dict)


def check_data(config: Config, transforms: bool, whole: bool) -> tuple[DataFacts, list[Problem]]:
    """Reads the data files.

    Args:
        config: Whose data section names them.
        transforms: Whether a preprocessing_fn makes other features of them.
        whole: Whether files are read to their ends, checksums included; the first record's features always are.
    """
    if config.data.format == "images":
        return _check_images(config, whole)
    if config.data.format in table_preflight.FORMATS:
        return _check_tables(config, transforms, whole)
    return _check_records(config, transforms, whole)


def _check_images(config: Config, whole: bool) -> tuple[DataFacts, list[Problem]]:
    features = image_preflight.features(config.data)
    problems = list(image_preflight.check(config.data)) if whole else []
    return DataFacts(features, image_preflight.count(config.data)), problems + _check_slices(
        config, features
    )


def _check_tables(config: Config, transforms: bool, whole: bool) -> tuple[DataFacts, list[Problem]]:
    tables = table_preflight.read(config.data, whole)
    problems = list(table_preflight.check(config.data, tables, transforms))
    features = table_preflight.features(tables)
    if not features:
        return DataFacts(), problems
    if not problems:
        problems += _check_features(config, transforms, features)
    facts = DataFacts(
        features,
        table_preflight.examples(config.data, tables),
        table_preflight.missing(tables),
        table_preflight.ragged(tables),
        # Types that follow from a mistake would only report it again.
        {} if problems else table_preflight.kinds(tables),
        {} if problems else table_preflight.odd_cells(tables),
    )
    return facts, problems


def _check_records(config: Config, transforms: bool, whole: bool) -> tuple[DataFacts, list[Problem]]:
    splits, sample, problems = records.read(config.data, whole)
    for split in splits:
        if split.first is not None and not split.features():
            problems.append(Problem("the first record is not a tf.Example with features", split.at))
    trained = next(split for split in splits if split.trained)
    if trained.first is None:
        return DataFacts(None, trained.count or None), problems
    features = trained.features()
    if features:
        features |= {name: length for name, length in sample.lengths().items() if not features.get(name)}
        problems += records.check_hashed(config.data, trained.first)
        problems += _check_features(config, transforms, features)
    gaps = sample.missing()
    if not problems and not transforms:
        problems += records.check_labels(config.data, gaps)
    count = trained.count
    if count:
        count = round(count * config.data.splits.trained_share)
    known = {} if problems else sample.kinds()
    return DataFacts(features, count or None, gaps, sample.ragged(), known), problems


def _check_features(config: Config, transforms: bool, features: Mapping[str, int]) -> list[Problem]:
    """Refuses labels, unless a preprocessing_fn may make them, and slices by features that do not exist."""
    labels = {} if transforms else places(config.data.label)
    return [
        Problem(
            f"{name!r} is not a feature of the data, which has {sorted(features)}",
            ("data", "label", *within),
        )
        for within, name in labels.items()
        if name not in features
    ] + _check_slices(config, features)


def _check_slices(config: Config, features: Mapping[str, int]) -> list[Problem]:
    known = sorted(features)
    gates = accuracy_gates(config.gate)
    return [
        Problem(
            f"{figure.anomaly!r} is not a feature of the data{nearest(figure.anomaly, known)}; it has {known}",
            (*at, "anomaly"),
        )
        for at, figure in gates
        if figure.anomaly is not None and figure.anomaly not in features
    ] + [
        Problem(
            f"{feature!r} is not a feature of the data{nearest(feature, known)}; it has {known}",
            (*at, "slices", index, "by"),
        )
        for at, figure in gates
        for index, limits in enumerate(figure.slices)
        for feature in limits.features()
        if feature not in features
    ]
