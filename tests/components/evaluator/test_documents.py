"""verdict.json and report.json: written and read by one class, also in version 1 and if damaged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from components.common.base.document import Document, DocumentError
from components.evaluator.judgement import FailureKind, Kind, accuracy_figure
from components.evaluator.judging import conclude, judge_figure
from components.evaluator.verdict import Verdict
from components.measurer.measured import Accuracy, Measured, SliceAccuracy, SliceValue
from components.selector.params import SelectOptions
from components.selector.report import SelectorReport
from tests.verdicts import latency, sizes

# Both were written by the code before there were versions; the report by a run on MNIST.
VERSION_1 = Path(__file__).with_name("version_1")
LABEL_3 = (SliceValue("label", "3"),)


def whole() -> Verdict:
    figure = accuracy_figure("AUC", "digit", LABEL_3, several=True)
    judgements = judge_figure(
        figure, {"max_drop": 0.01}, 0.9, 0.95, True, section="gate.accuracy.0.slices.1"
    )
    auc = Accuracy(
        "AUC",
        True,
        0.9,
        0.95,
        9,
        (SliceAccuracy("label=3", 0.9, 0.95, 9, LABEL_3),),
        "AUC of digit",
        "digit",
    )
    steps = ({"technique": "convert", "quantization": "int8"},)
    measured = Measured(steps, sizes(10, 5), latency=latency(0.5), accuracy=auc, accuracies=(auc, auc))
    return conclude(judgements, measured)


def lacks(old: Any, new: Any, at: str = "") -> list[str]:
    """Where JSON values do not have what older ones have."""
    if isinstance(old, dict):
        return [
            text
            for key, value in old.items()
            for text in (lacks(value, new[key], f"{at}.{key}") if key in new else [f"{at}.{key}"])
        ]
    if isinstance(old, list) and len(old) == len(new):
        return [t for i, pair in enumerate(zip(old, new, strict=True)) for t in lacks(*pair, f"{at}.{i}")]
    return [] if old == new else [at]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    verdict = whole()
    verdict.write(tmp_path / "verdict.json")
    assert Verdict.read(tmp_path / "verdict.json") == verdict
    report = SelectorReport(None, SelectOptions(minimize="size"), {"int8": verdict})
    report.write(tmp_path / "report.json")
    assert SelectorReport.read(tmp_path / "report.json") == report
    assert json.loads((tmp_path / "report.json").read_text())["schema_version"] == 2
    assert report.to_json()["candidates"]["int8"]["judgements"] == [
        {
            "figure": "accuracy/AUC of digit[label=3]",
            "kind": "accuracy",
            "metric": "AUC",
            "output": "digit",
            "slice": [{"feature": "label", "value": "3"}],
            "bound": "max_drop",
            "limit": 0.01,
            "value": 0.05,
            "met": False,
            "reason": "accuracy/AUC of digit[label=3] is 0.05 worse than the baseline, 0.01 allowed",
            "key": "gate.accuracy.0.slices.1.max_drop",
            "failure": "beyond_limit",
        }
    ]


@pytest.mark.parametrize(("kind", "file"), [(Verdict, "verdict.json"), (SelectorReport, "report.json")])
def test_version_1_is_read_and_all_of_it_is_kept(kind: type[Document], file: str, tmp_path: Path) -> None:
    before = json.loads((VERSION_1 / file).read_text(encoding="utf-8"))
    shutil.copy(VERSION_1 / file, tmp_path)
    upgraded = kind.read(tmp_path / file)
    assert lacks(before, upgraded.to_json()) == []
    upgraded.write(tmp_path / file)
    assert kind.read(tmp_path / file) == upgraded


def test_a_run_of_version_1_has_typed_judgements() -> None:
    report = SelectorReport.read(VERSION_1 / "report.json")
    verdict = report.candidates[report.winner or ""]
    of = {kind: [j for j in verdict.judgements if j.kind is kind] for kind in Kind}
    assert [j.key for j in of[Kind.SIZE]] == ["gate.size.max_ratio"]
    assert [(j.aspect, j.layer) for j in of[Kind.INVARIANT]] == [
        ("sparsity", layer) for layer in ("conv1", "conv2", "dense", "probabilities")
    ]
    assert [j.layer or j.tensor or j.aspect for j in of[Kind.TYPE]] == [
        "conv1", "conv2", "dense", "probabilities", "image", "probabilities", "activations", "operators",
    ]  # fmt: skip
    assert [(j.percentile, j.key) for j in of[Kind.LATENCY]] == [(50, "gate.latency.max_ratio")]
    sliced = [j for j in of[Kind.ACCURACY] if j.slice]
    assert [j.slice for j in sliced] == [(SliceValue("label", str(digit)),) for digit in range(10)]
    # Version 1 does not say which of several lists of slices has the limit.
    assert {j.key for j in sliced} == {"gate.accuracy.slices.max_drop"}
    assert [one.values for one in verdict.measured.accuracy.slices] == [j.slice for j in sliced]
    assert verdict.measured.latency.at("candidate") == verdict.measured.latency.candidate[50] < 1
    assert verdict.measured.file.layers["dense"].weights == 802816


def test_every_name_of_version_1_is_understood() -> None:
    verdict = Verdict.read(VERSION_1 / "verdict.json")
    found = [
        (
            j.kind.value,
            j.metric or j.aspect,
            j.output or j.layer or j.tensor,
            j.slice_text,
            j.key,
            j.failure,
        )
        for j in verdict.judgements
    ]
    beyond, missing = FailureKind.BEYOND_LIMIT, FailureKind.NOT_MEASURED
    precision, error = "Precision(class_ids=[1, 2])", "MeanAbsoluteError"
    assert found == [
        ("gzip_size", None, None, "", "gate.size.max", beyond),
        ("invariant", "m_by_n", "dense/kernel", "", "", beyond),
        ("invariant", "clusters", "dense", "", "", None),
        ("type", "input", "image", "", "", FailureKind.WRONG_TYPE),
        ("type", "operators", None, "", "", None),
        ("latency", None, None, "", "gate.latency.max_ratio", missing),
        ("accuracy", precision, "tags", "", "gate.accuracy.0.min", None),
        ("accuracy", precision, "tags", "hour×kind", "gate.accuracy.0.slices.min", missing),
        ("accuracy", error, "gap", "hour=3,kind=a, b", "gate.accuracy.1.slices.max_drop", beyond),
        ("accuracy", error, "gap", "", "gate.accuracy.1.max", missing),
        ("served", "features", None, "", "", beyond),
        ("served", "file", None, "", "", None),
        ("served", "model", None, "", "", beyond),
    ]
    assert verdict.judgements[8].slice == (SliceValue("hour", "3"), SliceValue("kind", "a, b"))
    assert [failure.kind for failure in verdict.failures] == [
        FailureKind.CANDIDATE_NOT_LOADED,
        FailureKind.MEASUREMENT_FAILED,
    ]
    assert verdict.measured.served.differing == 2


def changed(**changes: Any) -> dict[str, Any]:
    return {**whole().to_json(), **changes}


VERSION_1_TEXT = {"blessed": False, "reasons": ["no"], "judgements": [], "measured": {"invariants": {}}}


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([], "the document: "),
        (changed(blessed="perhaps"), "blessed: "),
        (changed(measured=[]), "measured: "),
        (changed(reasons="no"), "reasons: "),
        (changed(judgements=["met"]), "judgements.0: "),
        (changed(judgements=[{"met": True}]), "judgements.0.figure: "),
        (changed(schema_version=3), "it has schema version 3, but this Paredown reads versions up to 2"),
        ({"blessed": True}, "reasons and judgements and measured is missing"),
        ({**VERSION_1_TEXT, "judgements": ["met"]}, ""),
        ({**VERSION_1_TEXT, "judgements": [{"figure": "zeal", "bound": "min", "met": True, "reason": ""}]}, "'zeal'"),
        ({**VERSION_1_TEXT, "measured": []}, ""),
        ({**VERSION_1_TEXT, "measured": {"accuracy": 1}}, ""),
    ],
)  # fmt: skip
@pytest.mark.parametrize("in_report", [False, True])
def test_what_is_damaged_is_refused_with_the_name_of_the_file(
    values: Any, why: str, in_report: bool, tmp_path: Path
) -> None:
    kind: type[Document] = SelectorReport if in_report else Verdict
    file = tmp_path / "some.json"
    if in_report:
        values = {"winner": None, "select": {"minimize": "size"}, "candidates": {"int8": values}}
    file.write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(DocumentError) as refused:
        kind.read(file)
    assert str(refused.value).startswith(f"{file} is damaged, or is not a {kind.TITLE}: ")
    assert why.removeprefix("the document: ") in str(refused.value)


def test_a_file_that_is_not_there_or_is_cut_off_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"verdict.json cannot be read: No such file or directory"):
        Verdict.read(tmp_path / "verdict.json")
    (tmp_path / "verdict.json").write_text('{"blessed": tr', encoding="utf-8")
    with pytest.raises(
        DocumentError, match=r"verdict.json is damaged, or is not a verdict: it is not JSON"
    ):
        Verdict.read(tmp_path / "verdict.json")
