"""The configs of a search's runs, and the outcomes of their verdicts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.evaluator.judgement import Failure, FailureKind, Judgement, accuracy_figure
from components.evaluator.verdict import Verdict
from components.measurer.measured import Accuracy, Measured, Size, Sizes
from pipeline.config.data_options import Splits
from pipeline.plan.data_nodes import hash_buckets
from pipeline.plan.planner import make_plan
from pipeline.search import rounds
from pipeline.search.ranking import outcome_of, promising
from pipeline.store.search_record import Fate, Outcome, Trial
from tests.pipeline.search.space import SPACE, config

FIRST = Trial(3, {"prune_channels": False, "prune": False, "cluster": False, "qat": False})
OTHER = Trial(5, {**FIRST.values, "qat": True})


def test_a_round_never_reads_the_eval_split(tmp_path: Path) -> None:
    found = rounds.round_file(config(tmp_path), [FIRST, OTHER])
    assert found.config.data.splits == Splits(pattern="train*", eval_fraction=0.1)
    assert list(found.config.candidates) == ["trial-3", "trial-5"]
    named = config(tmp_path, SPACE + '  tune: {files: "tune*"}\n')
    assert rounds.round_file(named, [FIRST]).config.data.splits == Splits(train="train*", eval="tune*")


def test_of_one_pattern_trials_and_the_verdict_have_different_examples(tmp_path: Path) -> None:
    file = config(tmp_path, SPACE + "  tune: {fraction: 0.25}\n")
    text = file.path.read_text(encoding="utf-8")
    splits = 'splits: {pattern: "*", eval_fraction: 0.2, hash_by: id}'
    file.path.write_text(text.replace("label: label}", f"label: label, {splits}}}"), encoding="utf-8")
    file = rounds_config(file.path)
    tuned, last = (
        hash_buckets(made.config.data.splits)
        for made in (rounds.round_file(file, [FIRST]), rounds.last_file(file, [FIRST]))
    )
    assert _counts(tuned) == {"train": 12, "eval": 4, "verdict": 4}
    # The same number of buckets, of which those of the last run's eval are the last ones in both.
    assert _counts(last) == {"train": 16, "eval": 4}
    assert tuned["split_config"]["partition_feature_name"] == "id"
    assert rounds.round_file(file, [FIRST]).config.data.splits.trained_share == 0.6
    assert rounds.last_file(file, [FIRST]).config.data.splits.trained_share == 0.8


def _counts(made: dict[str, Any]) -> dict[str, int]:
    return {split["name"]: split["hash_buckets"] for split in made["split_config"]["splits"]}


def test_the_last_run_has_the_splits_of_the_config_and_each_chain_once(tmp_path: Path) -> None:
    by_hand = "candidates: {by-hand: [{convert: {quantization: int8}}]}\n"
    file = config(tmp_path, SPACE + by_hand)
    found = rounds.last_file(file, [FIRST, OTHER])
    assert found.config.data == file.config.data
    assert list(found.config.candidates) == ["by-hand", "trial-5"]


def test_a_round_has_every_node_but_the_one_that_pushes(tmp_path: Path) -> None:
    file = rounds.round_file(config(tmp_path), [FIRST])
    whole = make_plan(file.config, file.path)
    assert [node.id for node in whole.nodes if node not in whole.unpushed().nodes] == ["Pusher"]
    assert whole.pushes and not whole.unpushed().pushes


def test_another_space_or_gate_is_another_study_and_more_trials_are_not(tmp_path: Path) -> None:
    def name(old: str, new: str) -> str:
        file = config(tmp_path, SPACE)
        text = file.path.read_text(encoding="utf-8")
        assert old in text
        file.path.write_text(text.replace(old, new), encoding="utf-8")
        return rounds.study_name(rounds_config(file.path))

    first = name("trials: 8", "trials: 8")
    assert first == name("trials: 8", "trials: 12") != name("0.9]", "0.95]")
    assert name("max_drop: 0.01", "max_drop: 0.02") != first


def rounds_config(path: Path):
    from pipeline.config.config_file import load

    return load(path)


def test_a_brief_chain_trains_for_few_epochs_where_options_allow_it() -> None:
    steps = [
        {"distill": {}},
        {"prune": {"sparsity": 0.5}},
        {"cluster": {"steps": 100}},
        {"qat": {"epochs": 5, "early_stopping": {"patience": 1}}},
        {"convert": {"quantization": "int8"}},
    ]
    brief = [step.model_dump() for step in rounds.brief_chain(steps, 1).steps()]
    assert [step.get("epochs") for step in brief[:4]] == [1, 1, 1, 5]
    assert brief[2]["steps"] == 100


def test_promising_are_those_that_miss_least_and_then_those_that_few_are_better_than() -> None:
    outcomes = {
        0: Outcome(Fate.MISSED, (1.0, -0.5), 0.4),
        1: Outcome(Fate.PASSED, (5.0, -0.9)),
        2: Outcome(Fate.PASSED, (6.0, -0.8)),
        3: Outcome(Fate.MISSED, (2.0, -0.6), 0.1),
        4: Outcome(Fate.FAILED),
        5: Outcome(Fate.PASSED, (9.0, -0.95)),
    }
    assert promising(outcomes, 2) == {1, 5}
    assert promising(outcomes, 4) == {1, 5, 2, 3}
    assert promising(outcomes, 9) == {0, 1, 2, 3, 5}


def verdict(drop: float | None, *failures: Failure) -> Verdict:
    missed = drop is None or drop > 0.01
    kind = FailureKind.BEYOND_LIMIT if missed else None
    judged = Judgement.on(accuracy_figure("Accuracy"), "max_drop", 0.01, drop, "too low", kind)
    measured = Measured(
        size=Sizes(Size(1000, 800), Size(4000, 3600)),
        accuracy=Accuracy("Accuracy", True, candidate=0.9, baseline=0.91),
    )
    return Verdict(not missed, ("too low",) if missed else (), (judged,), measured, failures)


def test_an_outcome_has_what_is_minimized_and_by_how_much_limits_are_missed() -> None:
    passed = outcome_of(verdict(0.005), ["gzip_size", "accuracy"], None, 2, "run")
    assert (passed.fate, passed.objectives, passed.violation) == (Fate.PASSED, (800.0, -0.9), 0.0)
    assert passed.figures == {"accuracy": 0.9, "size": 1000.0, "gzip_size": 800.0}
    missed = outcome_of(verdict(0.03), ["size"], None, 2, "run")
    assert (missed.fate, missed.objectives, round(missed.violation, 6)) == (Fate.MISSED, (1000.0,), 2.0)


def test_what_was_not_measured_fails() -> None:
    assert outcome_of(verdict(0.0), ["latency"], None, 1, "run").fate is Fate.FAILED
    failed = verdict(None, Failure(FailureKind.NODE_FAILED, "no memory"))
    assert outcome_of(failed, ["size"], None, 1, "run").fate is Fate.FAILED
    assert outcome_of(verdict(None), ["size"], None, 1, "run").violation == 10.0
