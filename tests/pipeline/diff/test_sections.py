"""What `paredown diff` finds in the config, code, environment, data, seeds and nodes of two runs."""

from __future__ import annotations

import json
from typing import Any

from pipeline.diff import difference as run_diff
from tests.pipeline.diff.two_runs import CONFIG, FINGERPRINT, Project, changes_in, made_of, rendered, states


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


def test_uncommitted_changes_are_reported_and_leave_the_code_unknown(project: Project) -> None:
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
    assert project.diff(outside, outside).section("code").unknown == ("run-4 ran outside a Git repository",)


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


def test_marks_of_a_run_on_its_executions_are_not_parameters(project: Project) -> None:
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
    # ML Metadata does not hold the fingerprint that a driver adds, if the outputs were cached.
    history.reuse("run-2", "ImportExampleGen", {"examples": examples}, parameters={"input_base": "/data"})
    compared = project.diff(first, "run-2")
    assert states(compared)["data"] == "equal"
    assert ("ImportExampleGen", "span", "removed", 0, None) not in changes_in(compared, "nodes")
