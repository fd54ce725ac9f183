"""Statistics in one process are those that TFDV's Beam pipeline computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_data_validation as tfdv
from tfx.components.statistics_gen import executor as tfx_executor
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.types import standard_artifacts

from components.statistics_gen import in_process
from components.statistics_gen.executor import Executor
from tests.conftest import to_example, write_examples

SPLITS = '["train", "eval"]'


def rows(count: int, texts: int) -> list[bytes]:
    """Numbers, vectors, texts and what some examples lack."""
    random = np.random.default_rng(count)
    made = []
    for index in range(count):
        row: dict[str, Any] = {
            "fare": [float(random.gamma(2, 5))],
            "pixels": random.integers(0, 3, 12),
            "text": [f"text {index % texts}"],
            "label": [index % 4],
        }
        if index % 3:
            row["tip"] = [float("nan")] if index % 50 == 1 else [index / 7]
        made.append(to_example(row))
    return made


def written_by(executor: Any, folder: Path, output: Path) -> tuple[Any, dict[str, Any]]:
    """The artifact, and split → feature → its statistics."""
    examples, made = standard_artifacts.Examples(), standard_artifacts.ExampleStatistics()
    examples.uri, made.uri = str(folder / "examples"), str(output)
    examples.split_names, examples.span = SPLITS, 7
    context = BaseBeamExecutor.Context(beam_pipeline_args=[], tmp_dir=str(output / "tmp"), unique_id="1")
    executor(context).Do({"examples": [examples]}, {"statistics": [made]}, {"exclude_splits": "[]"})
    found = {}
    for split in ("train", "eval"):
        (dataset,) = tfdv.load_stats_binary(str(output / f"Split-{split}" / "FeatureStats.pb")).datasets
        found[split] = {feature.path.step[0]: feature for feature in dataset.features}
        assert dataset.num_examples == {"train": 3000, "eval": 400}[split]
    return made, found


def assert_same(got: Any, wanted: Any) -> None:
    """All the same, but for the last digits of sums, and edges of quantiles, which TFDV estimates."""
    if wanted.HasField("num_stats"):
        for sums in ("mean", "std_dev"):
            assert getattr(got.num_stats, sums) == pytest.approx(getattr(wanted.num_stats, sums), rel=1e-9)
            setattr(got.num_stats, sums, getattr(wanted.num_stats, sums))
        for mine, other in zip(got.num_stats.histograms, wanted.num_stats.histograms, strict=True):
            edges, others = ([bucket.high_value for bucket in one.buckets] for one in (mine, other))
            assert edges == pytest.approx(others, rel=0.05)
        assert abs(got.num_stats.median - wanted.num_stats.median) <= 0.02 * abs(wanted.num_stats.max)
        for one in (got, wanted):
            one.num_stats.ClearField("histograms")
            one.num_stats.ClearField("median")
    assert got == wanted


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("statistics")
    write_examples(folder, "", train=rows(3000, 900), eval=rows(400, 30))
    return folder


def test_the_statistics_are_those_of_tfdv(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, wanted = written_by(tfx_executor.Executor, folder, tmp_path / "theirs")
    monkeypatch.setattr(tfx_executor.Executor, "Do", None)  # no Beam
    ours, got = written_by(Executor, folder, tmp_path / "ours")
    assert (ours.split_names, ours.span) == (theirs.split_names, theirs.span) == (SPLITS, 7)
    for split, features in wanted.items():
        assert set(got[split]) == set(features) == {"fare", "label", "pixels", "text", "tip"}
        for name, feature in features.items():
            assert_same(got[split][name], feature)
    assert got["train"]["text"].string_stats.unique == 900


@pytest.mark.parametrize("row", [{"text": ["x" * 1025]}, {}], ids=["a long text", "many texts"])
def test_beam_counts_what_a_sketch_would_estimate(row: dict[str, Any], tmp_path: Path) -> None:
    records = [to_example({"text": [f"text {index}"], **row}) for index in range(1100)]
    write_examples(tmp_path, "", train=records, eval=records)
    path = next((tmp_path / "examples" / "Split-train").glob("*"))
    assert in_process.of_files([str(path)]) is None


def test_many_texts_are_counted_by_beam(tmp_path: Path) -> None:
    write_examples(tmp_path, "", train=rows(3000, 2500), eval=rows(400, 30))
    _, got = written_by(Executor, tmp_path, tmp_path / "ours")
    assert got["train"]["text"].string_stats.unique == 2500
