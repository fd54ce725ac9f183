"""measurement.json: written and read by one class, with what is not a number, and held against the files."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest

from components.common.base.document import DocumentError
from components.common.base.file_hashes import ChangedFile, model_digests
from components.common.models import model_files
from components.evaluator.executor import judge
from components.evaluator.judgement import FailureKind, Kind
from components.evaluator.params import Gate
from components.evaluator.verdict import Verdict
from components.measurer.machine import Machine, this_machine
from components.measurer.measured import Size, Skew, SliceValue
from components.measurer.measurement import (
    MEASUREMENT_FILE,
    Measurement,
    MetricValues,
    SliceValues,
    Unmeasured,
)
from tests.verdicts import latency

DAY, NIGHT = (SliceValue("group", "day"),), (SliceValue("group", "night"),)
MEASUREMENT = Measurement(
    machine=Machine("Some CPU", 4, "2.3.0"),
    files={
        "candidate": {"Format-Serving/tflite": "a" * 64},
        "baseline": {"Format-Serving/tflite": "b" * 64},
    },
    sizes={"candidate": Size(250, 100), "baseline": Size(1000, 900)},
    latency=latency(0.5),
    metrics=(
        MetricValues(
            "AUC",
            (
                SliceValues((), 0.9, 0.95, 30),
                SliceValues(DAY, 0.8, 0.9, 20),
                SliceValues(NIGHT, math.nan, math.inf, 10),
            ),
        ),
    ),
    logits={"candidate": {"y": "sigmoid"}},
)


def test_a_measurement_is_read_as_it_was_written_and_nan_is_not_nothing(tmp_path: Path) -> None:
    MEASUREMENT.write(tmp_path / MEASUREMENT_FILE)
    text = (tmp_path / MEASUREMENT_FILE).read_text(encoding="utf-8")
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    read = Measurement.of(str(tmp_path))
    values = read.metric("AUC").values
    assert math.isnan(values[2].candidate) and values[2].baseline == math.inf
    assert dataclasses.replace(read, metrics=()) == dataclasses.replace(MEASUREMENT, metrics=())
    assert values[:2] == MEASUREMENT.metrics[0].values[:2]
    assert read.metric("Recall") == MetricValues("Recall")


@pytest.mark.parametrize("text", ['{"schema_version": 2}', "{", '{"machine": 1}', "[]"])
def test_a_damaged_measurement_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / MEASUREMENT_FILE).write_text(text, encoding="utf-8")
    with pytest.raises(DocumentError, match=MEASUREMENT_FILE):
        Measurement.of(str(tmp_path))


class Models:
    """Folders of a candidate and a baseline whose files are of no model, and of what was measured of them."""

    def __init__(self, root: Path):
        self.root = root
        self.folders = {"candidate": root / "candidate", "baseline": root / "baseline"}
        for side, folder in self.folders.items():
            path = Path(model_files.tflite_file(str(folder)))
            path.parent.mkdir(parents=True)
            path.write_bytes(side.encode())

    def measured(self, **changes: object) -> None:
        files = {side: model_digests(folder) for side, folder in self.folders.items()}
        found = dataclasses.replace(MEASUREMENT, **{"files": files, **changes})
        found.write(self.root / MEASUREMENT_FILE)

    def judged(self, **gate: object) -> Verdict:
        return judge(
            str(self.folders["candidate"]),
            str(self.folders["baseline"]),
            str(self.root),
            Gate.model_validate(gate),
            str(self.root / "evaluation"),
        )


@pytest.fixture
def models(tmp_path: Path) -> Models:
    return Models(tmp_path)


AUC = {"metric": "AUC", "min": 0.5}


@pytest.mark.parametrize("side", ["candidate", "baseline"])
def test_a_measurement_of_another_file_is_refused(models: Models, side: str) -> None:
    models.measured()
    path = Path(model_files.tflite_file(str(models.folders[side])))
    path.write_bytes(b"another")
    with pytest.raises(
        ChangedFile, match=f"{side}/Format-Serving/tflite was changed.*measure again: paredown run --remeas"
    ):
        models.judged(accuracy=AUC)
    assert not (models.root / "evaluation").exists()


def test_a_measurement_that_does_not_say_of_which_files_it_is_is_refused(models: Models) -> None:
    models.measured(files={})
    with pytest.raises(ChangedFile, match="tflite was added; another file was measured"):
        models.judged(accuracy=AUC)


def limits_of(verdict: Verdict) -> dict[str, bool]:
    kinds = (Kind.ACCURACY, Kind.LATENCY, Kind.SIZE, Kind.GZIP_SIZE, Kind.SERVED)
    return {f"{j.figure} {j.bound}": j.met for j in verdict.judgements if j.kind in kinds}


def test_one_measurement_is_judged_by_any_limits(models: Models) -> None:
    models.measured()
    wide = models.judged(
        accuracy={**AUC, "max_drop": 0.1, "slices": [{"by": "group", "values": ["day"], "min": 0.8}]},
        latency={"max_ratio": 0.52},
        size={"max_ratio": 0.25},
    )
    assert limits_of(wide) == {
        "size max_ratio": True,
        "p50 latency max_ratio": True,
        "accuracy min": True,
        "accuracy max_drop": True,
        "accuracy[group=day] min": True,
    }
    narrow = models.judged(
        accuracy={**AUC, "max_drop": 0.04, "slices": [{"by": "group", "min": 0.8}]},
        latency={"max_ratio": 0.51},  # the ratio is 0.5, and the end of its interval 0.515
        size={"of": "gzip", "max_ratio": 0.1},
    )
    assert limits_of(narrow) == {
        "gzip size max_ratio": False,
        "p50 latency max_ratio": False,
        "accuracy min": True,
        "accuracy max_drop": False,
        "accuracy[group=day] min": True,
        "accuracy[group=night] min": False,
    }
    undefined = [failure for failure in narrow.failures if failure.kind is FailureKind.METRIC_UNDEFINED]
    assert [failure.reason for failure in undefined] == [
        "accuracy[group=night] is nan: AUC is not defined for these labels and predictions: it needs both classes "
        "among the labels"
    ]
    assert narrow.judged == model_digests(models.folders["candidate"])
    assert narrow.measured.activations == {"candidate": {"y": "sigmoid"}}


def test_what_was_not_measured_does_not_pass(models: Models) -> None:
    failed = Unmeasured("candidate_not_loaded", "loading the candidate failed: no model")
    models.measured(failures=(failed,), sizes={}, latency=None, metrics=(), transformed=True, logits={})
    verdict = models.judged(accuracy=AUC, latency={"max_ratio": 9}, size={"max": 9})
    assert (verdict.failures[0].kind, verdict.reasons[0]) == (
        FailureKind.CANDIDATE_NOT_LOADED,
        failed.reason,
    )
    assert limits_of(verdict) == dict.fromkeys(
        [
            "size max",
            "p50 latency max_ratio",
            "accuracy min",
            "served features max",
            "served prediction of the file max",
            "served prediction of the SavedModel max",
        ],
        False,
    )


def test_a_served_prediction_that_is_nan_is_not_one_that_is_missing(models: Models) -> None:
    models.measured(transformed=True, served=Skew(10, 0, 0, 5, math.nan, 0.0, 0.01, 1e-5))
    reasons = models.judged(accuracy=AUC).reasons
    assert "served prediction of the file is nan" in reasons


def test_the_machine_is_this_one() -> None:
    machine = this_machine()
    assert machine.cores >= 1 and machine.cpu
    assert machine.runtime.count(".") >= 2
