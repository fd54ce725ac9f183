"""What `paredown diff` finds between runs that are written as the runner writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.diff import difference as run_diff
from pipeline.diff.difference import Change
from pipeline.diff.table import value_text
from pipeline.lineage import run_facts
from tests.pipeline.diff.two_runs import (
    CONFIG,
    FINGERPRINT,
    Project,
    changes_in,
    made_of,
    rendered,
    states,
    verdict,
)
from tests.pipeline.run_history import document, provenance


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"a": {"b": 1}}, {"a": {"b": 2}}, [("a.b", "changed", 1, 2)]),
        ({"a": 1}, {"a": 1.0}, []),
        ({"a": 1}, {"a": True}, [("a", "changed", 1, True)]),
        ({"a": None}, {}, [("a", "removed", None, None)]),
        ({}, {"a": {"b": {"c": 1}}}, [("a", "added", None, {"b": {"c": 1}})]),
        ({"a": [1, 2]}, {"a": [2, 1]}, [("a", "changed", [1, 2], [2, 1])]),
        ({"a": [{"b": 1}, {"b": 2}]}, {"a": [{"b": 1}, {"b": 3}]}, [("a.1.b", "changed", 2, 3)]),
        ({"a": [{"b": 1}]}, {"a": [{"b": 1}, {"b": 2}]}, [("a.1", "added", None, {"b": 2})]),
        ({"a": {"b": 1}}, {"a": None}, [("a", "changed", {"b": 1}, None)]),
        ({"a": []}, {"a": [{"b": 1}]}, [("a.0", "added", None, {"b": 1})]),
    ],
)
def test_values_are_compared_key_by_key(before: Any, after: Any, expected: list[Any]) -> None:
    found = [(c.key, c.kind, c.before, c.after) for c in run_diff.changes(before, after)]
    assert found == expected


def test_json_in_texts_is_decoded_at_every_depth() -> None:
    inner = json.dumps(
        {"params": json.dumps({"epochs": 3}), "text": "{not json", "number": "7", "null": "null"}
    )
    assert run_facts.decoded({"custom_config": inner}) == {
        "custom_config": {"params": {"epochs": 3}, "text": "{not json", "number": "7", "null": "null"}
    }


# Sections


def test_two_runs_of_the_same_differ_in_nothing(project: Project) -> None:
    compared = project.diff(project.run("run-1"), project.run("run-2"))
    assert set(states(compared).values()) == {"equal"}
    assert compared.equal
    assert rendered(compared).count("no difference") == len(run_diff.SECTIONS)
    assert run_diff.to_json(compared)["equal"] is True


def test_config_is_compared_by_dotted_keys(project: Project) -> None:
    changed = {
        **CONFIG,
        "candidates": {
            "int8": [{"prune": None, "convert": {"quantization": "int8", "io": "float32"}}],
            "pruned": [{"prune": {"sparsity": 0.8}, "convert": None}],
        },
        "gate": {"size": {"max_ratio": 0.5, "min": None}},
        "run": {"seed": 42, "beam_args": ["--a=1", "--b=2"]},
    }
    compared = project.diff(project.run("run-1"), project.run("run-2", made_of(changed)))
    assert changes_in(compared, "config") == {
        ("", "candidates.int8.0.convert.io", "changed", "int8", "float32"),
        (
            "",
            "candidates.pruned",
            "added",
            None,
            json.dumps([{"convert": None, "prune": {"sparsity": 0.8}}]),
        ),
        ("", "gate.size.max_ratio", "changed", 0.3, 0.5),
        ("", "run.beam_args", "changed", '["--a=1"]', '["--a=1", "--b=2"]'),
    }
    assert states(compared)["environment"] == "equal"
    assert not compared.equal
    assert '[{"prune": {"sparsity": 0.8}}]' in rendered(compared)


def test_limits_on_bytes_and_times_are_in_their_units(project: Project) -> None:
    def with_gate(size: float, latency: float) -> dict[str, Any]:
        return {
            **CONFIG,
            "gate": {"gzip_size": {"max": size, "max_ratio": size / 1e5}, "latency": {"max": latency}},
        }

    first, second = project.run("run-1", made_of(with_gate(30e3, 20.0))), with_gate(20e3, 1.5)
    lines = [
        " ".join(line.split())
        for line in rendered(project.diff(first, project.run("run-2", made_of(second)))).splitlines()
    ]
    assert "gate.gzip_size.max 30.0 kB 20.0 kB (-10.0 kB)" in lines
    assert "gate.gzip_size.max_ratio 0.3 0.2 (-0.1)" in lines
    assert "gate.latency.max 20 ms 1.5 ms (-18.50 ms)" in lines


def test_code_is_compared_by_commit_and_by_the_versions_of_nodes(project: Project) -> None:
    first = project.run("run-1", nodes=("prune",))
    second = project.run(
        "run-2",
        made_of(git_commit="c" * 40, version="0.2.0"),
        trainer={"code_version": "c0de00000009", "module_version": "m0d000000001"},
        nodes=("prune",),
    )
    compared = project.diff(first, second)
    assert changes_in(compared, "code") == {
        ("", "paredown", "changed", "0.1.0", "0.2.0"),
        ("", "commit", "changed", "a" * 40, "c" * 40),
        ("Trainer", "custom_config.code_version", "changed", "c0de00000001", "c0de00000009"),
        ("Trainer", "custom_config.module_version", "added", None, "m0d000000001"),
    }
    assert states(compared)["nodes"] == "equal"
    assert "aaaaaaaaaaaa " in rendered(compared) and "a" * 13 not in rendered(compared)


def test_uncommitted_changes_are_told_and_leave_the_code_unknown(project: Project) -> None:
    clean, dirty = project.run("run-1"), project.run("run-2", made_of(git_dirty=True))
    other = project.run("run-3", made_of(git_dirty=True))
    assert changes_in(project.diff(clean, dirty), "code") == {
        ("", "uncommitted changes", "changed", False, True)
    }
    section = project.diff(dirty, other).section("code")
    assert (section.state, section.unknown) == (
        "unknown",
        ("both runs had uncommitted changes, which the commit does not show",),
    )
    outside = project.run("run-4", made_of(git_commit=""))
    assert project.diff(outside, outside).section("code").unknown == (
        "run-4 ran outside of a Git repository",
    )


def test_environment_is_compared_package_by_package(project: Project) -> None:
    changed = {"python": "3.10.9", "cpu": "AMD EPYC", "packages": {"numpy": "1.26.5", "keras": "3"}}
    compared = project.diff(project.run("run-1"), project.run("run-2", made_of(environment=changed)))
    assert changes_in(compared, "environment") == {
        ("", "python", "changed", "3.10.1", "3.10.9"),
        ("", "packages.numpy", "changed", "1.26.4", "1.26.5"),
        ("", "packages.tfx", "removed", "1.16.0", None),
        ("", "packages.keras", "added", None, "3"),
    }


def test_data_are_compared_file_by_file(project: Project) -> None:
    changed = {
        "train": [
            {"file": "train.gz", "bytes": 1000, "sha256": "c" * 64},
            {"file": "train-2.gz", "bytes": 50, "sha256": "d" * 64},
        ],
        "eval": [],
    }
    fingerprint = FINGERPRINT.replace("num_files:1,total_bytes:1000", "num_files:2,total_bytes:1050")
    compared = project.diff(
        project.run("run-1"), project.run("run-2", made_of(data=changed), fingerprint=fingerprint)
    )
    assert changes_in(compared, "data") == {
        (
            "train",
            "train.gz",
            "changed",
            f"1,000 bytes, SHA-256 {'a' * 64}",
            f"1,000 bytes, SHA-256 {'c' * 64}",
        ),
        ("train", "train-2.gz", "added", None, f"50 bytes, SHA-256 {'d' * 64}"),
        ("eval", "test.gz", "removed", f"200 bytes, SHA-256 {'b' * 64}", None),
        ("train", "fingerprint.num_files", "changed", "1", "2"),
        ("train", "fingerprint.total_bytes", "changed", "1000", "1050"),
    }
    assert states(compared)["nodes"] == "equal", "a fingerprint is data, and is not changes_in twice"


def test_files_that_were_only_touched_differ_in_their_fingerprint_alone(project: Project) -> None:
    touched = FINGERPRINT.replace("xor_checksum:17", "xor_checksum:99")
    compared = project.diff(project.run("run-1"), project.run("run-2", fingerprint=touched))
    assert changes_in(compared, "data") == {("train", "fingerprint.xor_checksum", "changed", "17", "99")}


def test_seeds(project: Project) -> None:
    compared = project.diff(project.run("run-1"), project.run("run-2", made_of(seed=7)))
    assert changes_in(compared, "seeds") == {("", "run.seed", "changed", 42, 7)}


def test_nodes_that_one_run_has_and_parameters_that_differ(project: Project) -> None:
    first = project.run("run-1", nodes=("prune", "convert"))
    second = project.run(
        "run-2", nodes=("qat", "convert"), trainer={"hparams": json.dumps({"filters": [4, 8], "units": 32})}
    )
    assert changes_in(project.diff(first, second), "nodes") == {
        ("prune", "", "removed", "TFLiteConverter", None),
        ("qat", "", "added", None, "TFLiteConverter"),
        ("Trainer", "custom_config.hparams.units", "changed", 16, 32),
    }


def test_marks_of_a_run_on_its_executions_are_no_parameters(project: Project) -> None:
    first, second = project.run("run-1"), project.run("run-2")
    for execution in project.history.store.get_executions():
        execution.custom_properties["paredown_run"].string_value = f"run of {execution.id}"
        execution.custom_properties["paredown_node"].string_value = "x"
        execution.custom_properties["__external__"].string_value = str(execution.id)
        project.history.store.put_executions([execution])
    assert project.diff(first, second).equal


def test_a_cached_node_has_the_parameters_of_the_one_that_made_its_outputs(project: Project) -> None:
    history = project.history
    first = project.run("run-1")
    examples = history.store.get_artifacts_by_type("Examples")[0].id
    history.run("run-2", made_of=made_of())
    # ML Metadata does not hold the fingerprint that a driver adds, where the outputs were cached.
    history.reuse("run-2", "ImportExampleGen", {"examples": examples}, parameters={"input_base": "/data"})
    compared = project.diff(first, "run-2")
    assert states(compared)["data"] == "equal"
    assert ("ImportExampleGen", "span", "removed", 0, None) not in changes_in(compared, "nodes")


# Figures and verdicts


def test_metrics_and_verdicts_of_each_candidate(project: Project) -> None:
    reasons = ["accuracy 0.9 is below 0.975", "size; ratio"]
    first = project.run("run-1", verdicts={"int8": verdict(), "pruned-int8": verdict()})
    second = project.run(
        "run-2",
        verdicts={
            "int8": verdict(accuracy=0.9, ratio=0.75, size=900000, reasons=reasons),
            "qat": verdict(),
        },
        winner="qat",
        pushed="/s/2",
    )
    compared = project.diff(first, second)
    assert {change for change in changes_in(compared, "metrics") if change[0] == "int8"} == {
        ("int8", "accuracy", "changed", 0.9872, 0.9),
        ("int8", "latency ratio", "changed", 0.5, 0.75),
        ("int8", "size", "changed", 819416, 900000),
    }
    pruned = {change[1:] for change in changes_in(compared, "metrics") if change[0] == "pruned-int8"}
    assert ("latency", "removed", 0.05, None) in pruned and (
        "baseline latency",
        "removed",
        0.09,
        None,
    ) in pruned
    assert {kind for _, kind, _, _ in pruned} == {"removed"} and len(pruned) == 10
    assert changes_in(compared, "verdicts") == {
        ("", "winner", "changed", "int8", "qat"),
        ("", "pushed", "changed", "/s/1", "/s/2"),
        ("int8", "passed", "changed", True, False),
        ("int8", "reasons", "changed", "[]", json.dumps(reasons)),
        ("pruned-int8", "passed", "removed", True, None),
        ("pruned-int8", "reasons", "removed", "[]", None),
        ("qat", "passed", "added", None, True),
        ("qat", "reasons", "added", None, "[]"),
    }
    lines = [" ".join(line.split()) for line in rendered(compared).splitlines()]
    assert "accuracy 0.9872 0.9 (-0.0872)" in lines
    assert "size 819.4 kB 900.0 kB (+80.6 kB)" in lines
    assert "latency 0.05 ms –" in lines
    assert "passed yes no" in lines


def test_a_failed_run_says_that_it_came_to_no_verdict(project: Project) -> None:
    failed = project.run(
        "run-2",
        verdicts={},
        status="failed",
        failed_node="Trainer",
        reason="ValueError: no",
        winner="",
        pushed="",
    )
    compared = project.diff(project.run("run-1"), failed)
    assert compared.section("metrics").unknown == ("run-2 has no verdict",)
    assert states(compared)["metrics"] == "unknown"
    assert changes_in(compared, "verdicts") == {
        ("", "status", "changed", "pushed", "failed"),
        ("", "failed node", "changed", None, "Trainer"),
        ("", "reason", "changed", "", "ValueError: no"),
        ("", "winner", "changed", "int8", None),
        ("", "pushed", "changed", "/s/1", None),
    }
    assert "not known: run-2 has no verdict" in rendered(compared)


# What is not known is not equal


def test_a_run_without_a_record_is_not_taken_for_equal(project: Project) -> None:
    old = project.run("run-1", status=None)
    new = project.run("run-2")
    compared = project.diff(old, new)
    assert compared.section("config").unknown == ("the config of run-1 was not recorded",)
    assert compared.section("environment").unknown == ("the environment of run-1 was not recorded",)
    assert compared.section("code").unknown == (
        "Git commit and Paredown version of run-1 were not recorded",
    )
    data = compared.section("data")
    assert (data.state, data.unknown) == ("unknown", ("the data of run-1 was not recorded",))
    assert states(compared)["seeds"] == "unknown" and states(compared)["metrics"] == "equal"
    assert not compared.equal and not project.diff(old, old).equal
    assert rendered(compared).count("no difference known") == 5


def test_the_seed_of_an_older_run_is_that_of_its_nodes(project: Project) -> None:
    old = project.run("run-1", status=None, nodes=("prune", "qat"))
    same, other = project.run("run-2"), project.run("run-3", made_of(seed=7))
    assert states(project.diff(old, same))["seeds"] == "equal"
    assert changes_in(project.diff(old, other), "seeds") == {("", "run.seed", "changed", 42, 7)}


def test_a_document_that_is_not_in_the_store_is_unknown_unless_its_hash_is_equal(project: Project) -> None:
    first, second = project.run("run-1"), project.run("run-2")
    lost = provenance(config=document("config", {"name": "lost"}))
    runs = [project.history.reader.run(name) for name in (first, second)]
    assert runs[0] is not None and runs[1] is not None
    facts = [run_facts.read(project.history.reader, run) for run in runs]
    for each in facts:
        object.__setattr__(each, "config", None)
    assert run_diff.compare(*facts).section("config").state == "equal"
    object.__setattr__(facts[1].run, "config_hash", lost.config.digest)
    assert run_diff.compare(*facts).section("config").unknown == tuple(
        f"the config of {each.run.id}, {each.run.config_hash[:12]}, is not in the store" for each in facts
    )


def test_figures_of_a_report_that_was_removed_come_from_ml_metadata(project: Project) -> None:
    long = [f"accuracy[label={number}] is worse than the baseline; {'x' * 90}" for number in range(9)]
    verdicts = {"int8": verdict(0.123456789, 1 / 3, reasons=long)}
    first, second = project.run("run-1", verdicts=verdicts), project.run("run-2", verdicts=verdicts)
    third = project.run("run-3", verdicts={"int8": verdict(0.5, 1 / 3)})
    project.reports[first].unlink()
    compared = project.diff(first, second)
    metrics = compared.section("metrics")
    assert metrics.changes == () and compared.section("verdicts").changes == ()
    assert metrics.unknown == (
        "the report of run-1 was removed or is damaged; what ML Metadata holds of it was compared",
    )
    assert metrics.state == "unknown"
    changed = project.diff(third, first)
    assert changes_in(changed, "metrics") == {("int8", "accuracy", "changed", 0.5, 0.123457)}
    assert ("int8", "passed", "changed", True, False) in changes_in(changed, "verdicts")


# What is shown


def test_json_holds_every_section(project: Project) -> None:
    compared = project.diff(project.run("run-1"), project.run("run-2", made_of(seed=7)))
    shown = json.loads(json.dumps(run_diff.to_json(compared), allow_nan=False))
    assert list(shown["sections"]) == list(run_diff.SECTIONS)
    assert shown["sections"]["seeds"] == {
        "state": "different",
        "changes": [{"group": "", "key": "run.seed", "kind": "changed", "before": 42, "after": 7}],
        "unknown": [],
    }
    assert (shown["first"]["id"], shown["second"]["id"], shown["equal"]) == ("run-1", "run-2", False)
    assert shown["first"]["config_path"] == "/project/pipeline.yaml"


def test_a_narrow_terminal_loses_nothing(project: Project) -> None:
    reason = "accuracy by label×size was not measured: there is no such slice [bold]"
    compared = project.diff(
        project.run("run-1"), project.run("run-2", verdicts={"int8": verdict(reasons=[reason])})
    )
    narrow = rendered(compared, 60)
    assert max(map(len, narrow.splitlines())) <= 60
    assert set(reason.split()) <= set(narrow.split())


def test_a_change_is_plain_data() -> None:
    (change,) = run_diff.changes({"a": 1}, {"a": 2}, group="Trainer")
    assert change == Change("Trainer", "a", "changed", 1, 2)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("memory", "4.6 kB"),
        ("flash", "4.6 kB"),
        ("target.ram", "4.6 kB"),
        ("gate.memory.max", "4.6 kB"),
        ("gate.memory.max_ratio", "4592"),
        ("same prediction", "4592"),
    ],
)
def test_figures_of_a_device_have_their_units(key: str, text: str) -> None:
    assert value_text(4592, key) == text
