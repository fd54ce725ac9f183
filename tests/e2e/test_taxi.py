"""Taxi trips from the CSV file to a SavedModel that takes raw trips, held against pandas and LiteRT."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import yaml
from ai_edge_litert.interpreter import Interpreter

from benchmarks.taxi_plain import features, in_eval
from tests.conftest import to_example
from tests.e2e.project import REPOSITORY, Project, empty_project

pytestmark = pytest.mark.e2e

TRIPS = 2000
# What serving knows of a trip and the model wants.
RAW = {
    "company": tf.string, "dropoff_community_area": tf.int64, "dropoff_latitude": tf.float32,
    "dropoff_longitude": tf.float32, "fare": tf.float32, "payment_type": tf.string,
    "pickup_community_area": tf.int64, "pickup_latitude": tf.float32, "pickup_longitude": tf.float32,
    "trip_miles": tf.float32, "trip_seconds": tf.int64, "trip_start_day": tf.int64,
    "trip_start_hour": tf.int64, "trip_start_month": tf.int64,
}  # fmt: skip


def first_trips() -> pd.DataFrame:
    """Trips of companies and ways to pay that both splits have."""
    trips = pd.read_csv(REPOSITORY / "data/taxi/data.csv").iloc[
        2 : TRIPS + 2
    ]  # the first two lack a pickup
    trips = trips.drop(columns="pickup_census_tract")
    held_out = in_eval(trips["trip_start_timestamp"])
    for name in ("company", "payment_type"):
        seen = set(trips[~held_out][name].dropna()) & set(trips[held_out][name].dropna())
        trips = trips[trips[name].isna() | trips[name].isin(seen)]
        held_out = in_eval(trips["trip_start_timestamp"])
    return trips


@pytest.fixture(scope="module")
def trips() -> pd.DataFrame:
    return first_trips()


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, trips: pd.DataFrame
) -> tuple[Project, dict[str, Any]]:
    """A small taxi project in a folder of its own, and what its run printed."""
    root = tmp_path_factory.mktemp("taxi") / "project"
    project = empty_project(root)
    shutil.copy(REPOSITORY / "configs/taxi/model.py", root / "model.py")
    (root / "data").mkdir()
    whole = trips.convert_dtypes()  # integers stay integers beside missing values
    whole.to_csv(root / "data" / "trips.csv", index=False)
    config = yaml.safe_load((REPOSITORY / "configs/taxi/pipeline.yaml").read_text(encoding="utf-8"))
    config["data"]["path"] = "data"
    del config["data"]["validation"]  # of a column that is left out here
    config["model"] = {
        "module": "model",
        "hparams": {"units": [64], "dropout": 0.1, "learning_rate": 0.005},
        "train": {"epochs": 2, "batch_size": 64},
    }
    config["candidates"] = {"int8": [{"convert": {"quantization": "int8"}}]}
    config["gate"] = {
        "accuracy": {
            "metric": "AUC",
            "min": 0.8,
            "slices": [{"by": "payment_type", "values": ["Credit Card"], "max_drop": 0.2}],
        },
        "latency": {"repetitions": 60, "warmup": 5},
        "size": {"max_ratio": 0.7},
    }
    config["push"] = {"directory": "serving"}
    (root / "pipeline.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return project, project.run()


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Share of pairs in the right order; ties count half."""
    differences = scores[labels == 1][:, None] - scores[labels == 0][None, :]
    return float(((differences > 0) + (differences == 0) / 2).mean())


def given(trip: pd.Series) -> dict[str, Any]:
    """A row of the file as the features of a tf.Example, missing ones left out."""
    kinds = {tf.string: str, tf.int64: int, tf.float32: float}
    return {name: kinds[kind](trip[name]) for name, kind in RAW.items() if not pd.isna(trip[name])}


def predicted_by(path: Path, columns: dict[str, np.ndarray]) -> np.ndarray:
    """Outputs of a TFLite file, example by example, by a plain interpreter."""
    runner = Interpreter(str(path)).get_signature_runner("serving_default")
    count = len(next(iter(columns.values())))
    return np.array(
        [runner(**{n: v[i : i + 1] for n, v in columns.items()})["big_tip"][0, 0] for i in range(count)]
    )


def test_verdicts_slices_and_what_was_served(
    finished: tuple[Project, dict[str, Any]], trips: pd.DataFrame
) -> None:
    _, result = finished
    held_out = in_eval(trips["trip_start_timestamp"])
    evaluated = trips[held_out]
    assert sorted(result["candidates"]) == ["int8"]
    for name, verdict in result["candidates"].items():
        assert verdict["blessed"], (name, verdict["reasons"])
        accuracy = verdict["measured"]["accuracy"]
        assert accuracy["examples"] == held_out.sum()
        assert accuracy["candidate"] > 0.8
        found = {entry["slice"]: entry["examples"] for entry in accuracy["slices"]}
        counts = evaluated["payment_type"].value_counts()
        assert found == {f"payment_type={kind}": count for kind, count in counts.items()}
        served = verdict["measured"]["served"]
        assert (served["examples"], served["differing"], served["file_error"]) == (held_out.sum(), 0, 0.0)
        assert served["model_error"] <= served["conversion_error"] + 1e-5


def test_the_pushed_saved_model_on_raw_trips_is_the_pushed_file_on_features_by_pandas(
    finished: tuple[Project, dict[str, Any]], trips: pd.DataFrame
) -> None:
    _, result = finished
    version = Path(result["pushed"])
    assert (version / "tflite").is_file()
    signatures = tf.saved_model.load(str(version)).signatures
    assert sorted(signatures["raw_features"].structured_input_signature[1]) == sorted(RAW)
    held_out = in_eval(trips["trip_start_timestamp"])
    evaluated = trips[held_out]
    examples = tf.constant([to_example(given(trip)) for _, trip in evaluated.iterrows()])
    columns = features(evaluated, trips[~held_out])
    served = {name: v.numpy() for name, v in signatures["transform_features"](examples=examples).items()}
    np.testing.assert_allclose(served["numbers"], columns["numbers"], rtol=1e-3, atol=1e-4)
    for name in ("categories", "crosses"):
        np.testing.assert_array_equal(served[name], columns[name])
    # Transform's quantiles are approximate: a coordinate may be in the neighbouring bucket.
    np.testing.assert_array_equal(served["places"][:, 40:], columns["places"][:, 40:])
    agree = (served["places"] == columns["places"]).all(axis=1)
    assert agree.mean() > 0.5

    chosen = np.flatnonzero(agree)[:100]
    by_file = predicted_by(version / "tflite", {n: v[chosen] for n, v in columns.items()})
    by_model = signatures["serving_default"](examples=tf.gather(examples, chosen))["big_tip"].numpy()[:, 0]
    winner = result["candidates"][result["winner"]]["measured"]
    error = winner["served"]["conversion_error"]
    np.testing.assert_allclose(by_model, by_file, atol=error + 1e-3)
    # As in the model module: in float32, a tip of exactly a fifth may be more than a fifth.
    tips, fare = (evaluated[name].to_numpy(np.float32) for name in ("tips", "fare"))
    labels = (tips > fare * np.float32(0.2)).astype(int)
    scores = predicted_by(version / "tflite", served)
    assert winner["accuracy"]["candidate"] == pytest.approx(auc(labels, scores), abs=1e-6)


def test_a_second_run_takes_everything_from_the_cache_and_an_edit_of_preprocessing_does_not(
    finished: tuple[Project, dict[str, Any]],
) -> None:
    project, _ = finished
    assert project.would_run() == set()
    project.edit("model.py", "TIP_SHARE = 0.2", "TIP_SHARE = 0.25")
    changed = project.would_run()
    assert {"Transform", "Trainer"} <= changed and "StatisticsGen" not in changed
    project.edit("model.py", "TIP_SHARE = 0.25", "TIP_SHARE = 0.2")
    assert project.would_run() == set()
