"""Results of TensorFlow Data Validation for splits: their statistics, and anomalies against the schema."""

from __future__ import annotations

import glob
import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from components.anomaly_gate.distance import chance
from components.anomaly_gate.params import Validation

TRAIN, EVAL = "train", "eval"

# AnomalyInfo.Type's names → kind of finding; the first pattern that matches counts.
_KINDS = (
    (r"FLOAT_TYPE_HAS_NAN", "nan"),
    (r"FLOAT_TYPE_HAS_INF", "infinite"),
    (r"\w+_UNEXPECTED_(STRING_VALUES|STRING|FLOAT)|BOOL_TYPE_(BIG|SMALL)_INT", "unseen"),
    (
        r"FEATURE_TYPE_(LOW_FRACTION_PRESENT|LOW_NUMBER_PRESENT|NOT_PRESENT)|SCHEMA_MISSING_COLUMN",
        "missing",
    ),
    (r"FEATURE_TYPE_(HIGH|LOW)_NUMBER_VALUES|FEATURE_TYPE_(NO_VALUES|UNEXPECTED_REPEATED)", "shape"),
    (r"INVALID_FEATURE_SHAPE|VALUE_NESTEDNESS_MISMATCH", "shape"),
    (r"SCHEMA_NEW_COLUMN", "new"),
    (r"COMPARATOR_(L_INFTY|JENSEN_SHANNON_DIVERGENCE)_HIGH", "skew"),
    (r"DATASET_LOW_NUM_EXAMPLES", "few"),
    (r"(BOOL|ENUM|FLOAT|INT|STRING)_TYPE_\w+|UNEXPECTED_DATA_TYPE", "type"),
)


@dataclass(frozen=True)
class Anomaly:
    """An anomaly that TFDV found; `feature` is empty if it is about the examples as a whole."""

    split: str
    feature: str
    kind: str
    text: str


def read_anomalies(uri: str) -> list[Anomaly]:
    """Reads an `ExampleAnomalies` artifact.

    Args:
        uri: Folder with a `Split-<name>/SchemaDiff.pb` for each split.

    Returns:
        Every anomaly, by split and feature.

    Raises:
        FileNotFoundError: If there are no splits.
    """
    from tensorflow_metadata.proto.v0 import anomalies_pb2

    files = sorted(glob.glob(os.path.join(uri, "Split-*", "SchemaDiff.pb")))
    if not files:
        raise FileNotFoundError(f"no Split-*/SchemaDiff.pb in {uri}: the examples were not validated")
    found: list[Anomaly] = []
    for path in files:
        anomalies = anomalies_pb2.Anomalies()
        with open(path, "rb") as file:
            anomalies.ParseFromString(file.read())
        split = os.path.basename(os.path.dirname(path)).removeprefix("Split-")
        found += anomalies_in(anomalies, split)
    return found


def anomalies_in(anomalies: Any, split: str) -> Iterator[Anomaly]:
    """The single anomalies of an `Anomalies` message; TFDV has one entry for all of a feature."""
    for key, info in sorted(anomalies.anomaly_info.items()):
        # The key of a name with a dot has quotes around it, which are not part of the name.
        yield from _reasons(info, split, ".".join(info.path.step) or key)
    if anomalies.HasField("dataset_anomaly_info"):
        yield from _reasons(anomalies.dataset_anomaly_info, split, "")


def _reasons(info: Any, split: str, feature: str) -> Iterator[Anomaly]:
    for reason in info.reason or [info]:
        name = type(info).Type.Name(reason.type) if reason is not info else ""
        kind = next((kind for pattern, kind in _KINDS if re.fullmatch(pattern, name)), "schema")
        text = f"{reason.short_description}: {reason.description}".strip(": ")
        yield Anomaly(split, feature, kind, " ".join(text.split()))


def load(uri: str) -> dict[str, Any]:
    """Reads an `ExampleStatistics` artifact.

    Args:
        uri: Folder with a `Split-<name>/FeatureStats.pb` for each split.

    Returns:
        Split → `DatasetFeatureStatisticsList`.

    Raises:
        FileNotFoundError: If a split is missing.
    """
    import tensorflow_data_validation as tfdv

    found = {}
    for split in (TRAIN, EVAL):
        path = os.path.join(uri, f"Split-{split}", "FeatureStats.pb")
        if not os.path.exists(path):
            raise FileNotFoundError(f"there is no {path}: the split has no statistics")
        found[split] = tfdv.load_stats_binary(path)
    return found


def examples_of(statistics: Any) -> int:
    """Number of examples that the statistics count."""
    return sum(int(dataset.num_examples) for dataset in statistics.datasets)


def features_of(statistics: Any) -> dict[str, Any]:
    """Feature → its `FeatureNameStatistics`."""
    return {
        feature.name or ".".join(feature.path.step): feature
        for dataset in statistics.datasets
        for feature in dataset.features
    }


def common(feature: Any) -> Any:
    """The `CommonStatistics` of a feature."""
    return getattr(feature, feature.WhichOneof("stats")).common_stats


def present(feature: Any) -> int:
    """Examples that have a feature."""
    return int(common(feature).num_non_missing)


def is_constant(feature: Any) -> bool:
    """Whether a feature has the same value, or values, in every example.

    All values of a vector have to be equal. A feature that is sometimes missing, or that has more or fewer values,
    is not constant, since that itself is information.
    """
    counts = common(feature)
    if not counts.num_non_missing or counts.num_missing or counts.min_num_values != counts.max_num_values:
        return False
    if feature.HasField("num_stats"):
        if any(histogram.num_nan for histogram in feature.num_stats.histograms):
            return False
        return feature.num_stats.min == feature.num_stats.max
    return feature.HasField("string_stats") and feature.string_stats.unique == 1


def non_finite(feature: Any) -> tuple[int, int]:
    """How many values are NaN, and how many infinite."""
    nan, infinite = 0, 0.0
    for histogram in feature.num_stats.histograms:
        if histogram.type == histogram.STANDARD:
            nan = int(histogram.num_nan)
            infinite = sum(
                bucket.sample_count
                for bucket in histogram.buckets
                if math.isinf(bucket.low_value) and bucket.low_value == bucket.high_value
            )
    return nan, round(infinite)


def unseen(feature: Any, known: set[str]) -> tuple[float | None, list[str]]:
    """Share of a text feature's values that are not `known`, and these values, the most frequent ones first.

    Statistics count only the most frequent values (TFDV: 1,000), so a value that is not counted as known is counted
    as unknown. The share is None if the statistics do not say.
    """
    total = common(feature).tot_num_values
    buckets = feature.string_stats.rank_histogram.buckets
    others = [bucket for bucket in buckets if bucket.label not in known]
    if not others or not total:
        return None, []
    seen = sum(bucket.sample_count for bucket in buckets if bucket.label in known)
    return (total - seen) / total, [bucket.label for bucket in others]


def domain(schema: Any, feature: str) -> set[str]:
    """The values of a text feature that a schema lists; empty if it lists none."""
    own = next((found for found in schema.feature if found.name == feature), None)
    if own is None:
        return set()
    if own.HasField("string_domain"):
        return set(own.string_domain.value)
    return {value for found in schema.string_domain if found.name == own.domain for value in found.value}


def constrained(schema: Any, statistics: Mapping[str, Any], options: Validation) -> Any:
    """An inferred schema with what inference leaves open: NaN, infinities, skew, number of examples.

    Args:
        schema: The inferred schema, which is not changed.
        statistics: Split → its statistics, for both splits.
        options: Limits.

    Returns:
        The schema to validate with; its drift comparators are for eval against train.
    """
    from tensorflow_metadata.proto.v0 import schema_pb2

    made = schema_pb2.Schema()
    made.CopyFrom(schema)
    made.dataset_constraints.min_examples_count = options.min_examples
    both = [features_of(statistics[split]) for split in (TRAIN, EVAL)]
    for feature in made.feature:
        if feature.type == schema_pb2.FLOAT and feature.WhichOneof("domain_info") in (None, "float_domain"):
            feature.float_domain.disallow_nan = True
            feature.float_domain.disallow_inf = True
        one, other = (features.get(feature.name) for features in both)
        if feature.type != schema_pb2.BYTES or options.max_skew is None or one is None or other is None:
            continue
        # Only categories: sentences and encoded images differ from one example to the next.
        if not (feature.domain or feature.HasField("string_domain")):
            continue
        if present(one) and present(other):
            kinds = int(one.string_stats.unique) + int(other.string_stats.unique)
            feature.drift_comparator.infinity_norm.threshold = max(
                options.max_skew, chance(present(one), present(other), comparisons=kinds)
            )
    return made


def validate(
    statistics: Mapping[str, Any], schema: Any
) -> tuple[list[Anomaly], dict[str, tuple[float, float]]]:
    """Lets TFDV validate both splits, eval against train.

    Args:
        statistics: Split → its statistics.
        schema: As `constrained` makes it.

    Returns:
        The anomalies; and feature → L-infinity distance of its categories' shares and its threshold.
    """
    import tensorflow_data_validation as tfdv

    # Train is not compared with itself.
    anomalies = list(anomalies_in(tfdv.validate_statistics(statistics[TRAIN], schema), TRAIN))
    compared = tfdv.validate_statistics(statistics[EVAL], schema, previous_statistics=statistics[TRAIN])
    anomalies += anomalies_in(compared, EVAL)
    distances = {
        ".".join(info.path.step): (float(measured.value), float(measured.threshold))
        for info in compared.drift_skew_info
        for measured in info.drift_measurements
    }
    return anomalies, distances
