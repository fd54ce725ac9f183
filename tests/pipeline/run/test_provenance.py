"""What a run says it was made of."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from pipeline.config.config_file import load
from pipeline.run import provenance

CONFIG = """
name: small
data: {path: data, splits: {train: "train*", eval: "test*"}, label: label}
model: {module: model}
candidates: {int8: [{convert: {quantization: int8}}]}
gate: {accuracy: {metric: SparseCategoricalAccuracy, min: 0.5}}
push: {directory: serving}
run: {seed: 7}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pipeline.yaml").write_text(CONFIG, encoding="utf-8")
    (tmp_path / "data").mkdir()
    for name in ("train-2", "train-1", "test-1"):
        (tmp_path / "data" / name).write_text(f"content of {name}", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=A", "-c", "user.email=a@b.c"]
    done = subprocess.run(
        ["git", *who, "-C", str(folder), *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_data_files_are_hashed_in_the_order_of_their_names(project: Path) -> None:
    collected = provenance.collect(load(project / "pipeline.yaml", []).config, project / "pipeline.yaml")
    data = json.loads(collected.data.text)
    assert [file["file"] for file in data["train"]] == ["train-1", "train-2"]
    assert data["eval"] == [
        {
            "file": "test-1",
            "bytes": len("content of test-1"),
            "sha256": hashlib.sha256(b"content of test-1").hexdigest(),
        }
    ]


def test_the_config_is_kept_as_resolved(project: Path) -> None:
    config = load(project / "pipeline.yaml", ["run.seed=9"]).config
    kept = json.loads(provenance.collect(config, project / "pipeline.yaml").config.text)
    assert kept["run"]["seed"] == 9
    assert kept["model"]["train"]["batch_size"] == config.model.train.batch_size  # a default
    assert kept["candidates"]["int8"][0]["convert"]["quantization"] == "int8"


def test_an_overridden_config_has_another_hash_and_the_same_one_has_the_same(project: Path) -> None:
    digests = [
        provenance.collect(
            load(project / "pipeline.yaml", changed).config, Path("pipeline.yaml")
        ).config.digest
        for changed in ([], [], ["run.seed=9"])
    ]
    assert digests[0] == digests[1] != digests[2]


def test_versions_are_those_installed(project: Path) -> None:
    environment = provenance.environment()
    assert environment["packages"]["tfx"] == metadata.version("tfx")
    assert environment["packages"]["tensorflow-model-optimization"] == metadata.version(
        "tensorflow-model-optimization"
    )
    assert environment["python"] == ".".join(map(str, sys.version_info[:3]))
    assert environment["cpu"]


def test_git_commit_and_whether_code_differs_from_it(project: Path) -> None:
    assert provenance.git_state(project) == ("", False)
    git(project, "init", "--quiet")
    git(project, "add", "pipeline.yaml")
    git(project, "commit", "--quiet", "-m", "first")
    commit = git(project, "rev-parse", "HEAD")
    (project / "serving").mkdir()
    (project / "serving" / "tflite").write_bytes(b"")  # results do not make it dirty
    assert provenance.git_state(project) == (commit, False)
    (project / "model.py").write_text("", encoding="utf-8")  # a module that was not added does
    assert provenance.git_state(project / "data") == (commit, True)
    (project / "model.py").unlink()
    (project / "pipeline.yaml").write_text(CONFIG + "\n", encoding="utf-8")
    assert provenance.git_state(project) == (commit, True)


def test_without_git_the_commit_is_unknown(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert provenance.git_state(project) == ("", False)
