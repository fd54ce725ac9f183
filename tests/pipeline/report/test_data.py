"""What is read of a run, and what becomes of gaps."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.evaluator.judgement import Failure, FailureKind
from components.evaluator.judging import conclude
from components.measurer.file_facts import Layer
from pipeline.lineage import run_facts
from pipeline.report.advice import advise, gate_range
from pipeline.report.collection import collect
from pipeline.report.data import ReportData
from pipeline.report.page import render
from pipeline.store.records import NodeFailure, Run
from pipeline.store.state import State
from tests.pipeline.report.made_run import MadeRun
from tests.pipeline.report.made_verdicts import BASELINE, CONFIG, LAYERS, passing


def test_everything_of_a_run_is_found(pushed: ReportData) -> None:
    assert [c.name for c in pushed.candidates] == ["int8", "pruned-int8", "student"]
    assert [c.passed for c in pushed.candidates] == [True, True, False]
    assert pushed.winner is not None and pushed.winner.name == "pruned-int8"
    assert pushed.baseline_layers == {name: Layer(**layer) for name, layer in LAYERS.items()}
    assert pushed.baseline("gzip") == BASELINE["gzip"] and pushed.baseline("latency") == BASELINE["ms"]
    assert pushed.config == CONFIG
    assert [curve.node for curve in pushed.curves] == ["Trainer", "prune", "distill"]
    assert pushed.curves[0].kept_epoch == 2 and pushed.curves[0].epochs[2]["val_loss"] == 0.35
    latencies = pushed.candidates[0].latencies
    assert latencies is not None and len(latencies.candidate) == len(latencies.baseline) == 200
    steps = {step.node: step for step in pushed.steps}
    assert len(steps) == 17 and steps["Trainer"].seconds == 75
    assert steps["prune-convert"].reads["base_model"] == "prune"
    assert set(pushed.notes) == {"usage"}, "only the pushed folder is not there"


def test_limits_of_a_target_are_the_gate_s(tmp_path: Path) -> None:
    target = {"kind": "microcontroller", "ram": 16_000.0, "flash": None}
    made = MadeRun(tmp_path, config={**CONFIG, "target": target})
    data = collect(made.reader, made.whole(passing(), "int8", tmp_path / "gone"))
    assert data.gate is not None
    assert [(of, limits.bounds()) for _, of, limits in data.gate.device()] == [("memory", {"max": 16_000})]
    assert gate_range(data, "memory") == (None, 16_000)


def test_removed_files_become_notes(tmp_path: Path) -> None:
    made = MadeRun(tmp_path)
    run = made.whole(passing(), "int8", tmp_path / "gone")
    shutil.rmtree(made.root / "Selector")
    for name in ("Trainer", "prune"):
        shutil.rmtree(made.root / name)
    (next(made.root.glob("convert-measure/measurement/*")) / "latency.json").write_text(
        "{", encoding="utf-8"
    )
    data = collect(made.reader, run)
    assert "report.json cannot be read: No such file or directory" in data.notes["candidates"][0]
    # The verdicts are still with the judgements, and their names are those of the config.
    assert [c.name for c in data.candidates] == ["int8", "pruned-int8", "student"]
    assert data.notes["curves"] == ["No learning curve was kept of Trainer, prune."]
    assert "latency.json is damaged" in data.notes["latency"][0]
    assert data.candidates[0].latencies is None and data.candidates[1].latencies is not None


def test_a_run_from_before_records_is_read_from_its_artifacts(tmp_path: Path) -> None:
    made = MadeRun(tmp_path, config=False)
    run = made.whole(passing(), "int8", tmp_path / "gone")
    assert not run.recorded
    data = collect(made.reader, run)
    assert [c.name for c in data.candidates] == ["int8", "pruned-int8", "student"]
    assert data.gate.size.max_ratio == 0.3, "from the Evaluator's parameters"
    assert all(len(c.latencies.candidate) == 200 for c in data.candidates), "which the Evaluator kept then"
    assert data.config is None and data.notes["config"]
    assert data.run.pushed == str(tmp_path / "gone")


def test_a_failed_run_knows_what_was_judged_and_the_end_of_the_traceback(tmp_path: Path) -> None:
    made = MadeRun(tmp_path)
    first = made.prepare()
    verdicts = passing()
    made.candidate("pruned-int8", first, verdicts["pruned-int8"])
    reads = {"base_model": first["trained"], "examples": first["examples"]}
    made.node("distill", "components.distiller.component.Distiller", reads, {}, state=State.FAILED)
    logs = made.root / "logs"
    logs.mkdir()
    text = "\n".join(
        ["Traceback (most recent call last):", *(f"  line {i}" for i in range(90)), "ValueError: x < y"]
    )
    (logs / "20261122-084928-distill-traceback.txt").write_text(text, encoding="utf-8")
    old = logs / "20200101-000000-distill-traceback.txt"
    old.write_text("of another run", encoding="utf-8")
    os.utime(old, (1_577_836_800, 1_577_836_800))
    data = collect(made.reader, made.finish("failed", 3, failed_node="distill", reason="x < y"))
    assert [c.name for c in data.candidates] == ["pruned-int8"] and not data.selected
    lines = data.tracebacks["distill"].splitlines()
    assert lines[-1] == "ValueError: x < y" and len(lines) == 30 and lines[0] == "  line 61"
    failed = next(step for step in data.steps if step.node == "distill")
    assert failed.state == "failed" and failed.reads["base_model"] == "Trainer"


def test_candidates_whose_node_failed_have_its_reason_and_traceback(tmp_path: Path) -> None:
    made = MadeRun(tmp_path)
    verdicts = passing()
    verdicts["student"] = conclude((), failures=[Failure(FailureKind.NODE_FAILED, "it was not judged")])
    file = tmp_path / "distill-traceback.txt"
    file.write_text("Traceback\nValueError: ill", encoding="utf-8")
    assert made.record is not None
    made.record.failure(NodeFailure("distill", ("student",), "ValueError: ill", str(file)))
    made.record.failure(NodeFailure("prune-x", ("gone",), "ValueError: no", str(tmp_path / "no.txt")))
    data = collect(made.reader, made.whole(verdicts, "int8", tmp_path / "gone"))
    assert data.verdicts["student"].reasons == ("node distill failed: ValueError: ill",)
    assert data.verdicts["int8"].blessed and list(data.verdicts) == ["int8", "pruned-int8", "student"]
    assert data.tracebacks == {"distill": "Traceback\nValueError: ill"}
    assert data.notes["failure"] == ["The traceback of prune-x was not found."]
    (advice,) = advise(data)
    assert advice.name == "student" and advice.sentences[0].startswith(
        "node distill failed: ValueError: ill. Fix it"
    )


def test_a_traceback_that_is_gone_is_a_note(tmp_path: Path) -> None:
    made = MadeRun(tmp_path)
    made.node("ImportExampleGen", "x.ImportExampleGen", {}, {}, state=State.FAILED)
    data = collect(made.reader, made.finish("failed", 3, failed_node="ImportExampleGen", reason="no files"))
    assert data.tracebacks == {}
    assert data.notes["failure"] == ["The traceback of ImportExampleGen was not found."]


def test_a_run_that_has_only_begun_has_no_candidates(tmp_path: Path) -> None:
    made = MadeRun(tmp_path)
    data = collect(made.reader, made.run())
    assert data.run.status == "running" and data.candidates == () and data.steps == ()


DAMAGED = ["null", "7", "[]", "{}", '"text"', '{"candidates": 7, "winner": "int8"}', '{"measured": {}}']
NO_LATENCIES = [
    '{"candidate": [NaN], "baseline": [1.0]}',
    '{"candidate": [1.0], "baseline": "x"}',
    "7",
    "{}",
]


@contextmanager
def damaged(made: MadeRun, content: str, *patterns: str) -> Iterator[None]:
    """Files of a run with another content, until the block ends."""
    files = [file for pattern in patterns for file in made.root.glob(pattern)]
    assert len(files) == len(patterns)
    before = [file.read_bytes() for file in files]
    try:
        for file in files:
            file.write_text(content, encoding="utf-8")
        yield
    finally:
        for file, whole in zip(files, before, strict=True):
            file.write_bytes(whole)


def test_json_of_another_shape_is_a_note(pushed_run: tuple[MadeRun, Run]) -> None:
    made, run = pushed_run
    sections = {
        "Selector/report/*/report.json": "candidates",
        "convert-evaluate/evaluation/*/verdict.json": "candidates",
        "Trainer/model/*/history.json": "curves",
    }
    for content in DAMAGED:
        with damaged(made, content, *sections):
            data = collect(made.reader, run)
            assert [c.name for c in data.candidates] == ["pruned-int8", "student"], content
            for pattern, section in sections.items():
                start = f"/{Path(pattern).name} is damaged"
                assert any(start in note for note in data.notes[section]), (content, start)
            assert run_facts.read(made.reader, run).candidates_from != run_facts.REPORT, content
    assert "<html" in render(data)


def test_latencies_that_are_not_numbers_are_a_note(pushed_run: tuple[MadeRun, Run]) -> None:
    made, run = pushed_run
    pattern = "convert-measure/measurement/*/latency.json"
    (file,) = made.root.glob(pattern)
    for content in NO_LATENCIES:
        with damaged(made, content, pattern):
            data = collect(made.reader, run)
            assert data.candidates[0].latencies is None, content
            assert data.notes["latency"] == [f"{file} is damaged: parts of it are missing."]
    assert "<html" in render(data)
