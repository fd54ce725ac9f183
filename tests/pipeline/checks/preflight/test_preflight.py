"""What is checked with TensorFlow before a run begins, and what is not checked again."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

from pipeline import environment
from tests.pipeline.checks.preflight.conftest import COMPILED
from tests.project import MODEL, Project


def test_a_project_without_mistakes_has_no_problems(project: Project) -> None:
    assert project.looked_at() == []


def test_layer_pattern_that_matches_nothing(project: Project) -> None:
    problem = project.problem("candidates.pruned.0.prune.include=[conv*]")
    assert problem.key() == "candidates.pruned[0].prune"
    assert "'conv*' matches no layer that can be pruned; those are ['last']" in problem.message


def test_what_is_cached_is_not_checked_again(project: Project) -> None:
    (project.root / "data/train.tfrecord.gz").write_bytes(b"damaged")
    assert project.looked_at(cached=[node.id for node in project.plan().nodes]) == []


def test_a_new_candidate_is_checked_though_all_that_trains_is_cached(project: Project) -> None:
    cached = [node.id for node in project.plan().nodes]
    new = "candidates.new=[{prune: {sparsity: 0.5}}, {convert: {quantization: int8, sparse: true}}]"
    problem = project.problem(new, cached=cached)
    assert problem.key() == "candidates.new[1].convert.sparse"
    assert "last: is a dense layer, which LiteRT does not load sparse-encoded in int8" in problem.message


def test_a_candidate_whose_file_is_there_is_not_checked_again(project: Project) -> None:
    wrong = "candidates.student.0.distill.student=build_nothing"
    student = [node.id for node in project.plan(wrong).nodes if "student" in node.candidates]
    assert project.looked_at(wrong, cached=student) == []


def test_run_refuses_before_it_writes(project: Project) -> None:
    """The command as people type it, with a mistake that only TensorFlow can see."""
    path = project.root / "data/eval.tfrecord.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-7]))
    project.write_model(MODEL.replace(COMPILED, ""))
    before = sorted(project.root.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "run", "pipeline.yaml"],
        cwd=project.root,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(environment.__file__).parents[1]),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 2, done.stderr
    assert "is damaged" in done.stderr
    assert "not compiled" in done.stderr
    assert sorted(project.root.rglob("*")) == before


def test_a_layer_that_cannot_be_quantization_aware(project: Project) -> None:
    project.write_model(
        MODEL.replace("tf_keras.layers.Dense(3", "tf_keras.layers.Rescaling(2.0), tf_keras.layers.Dense(3")
    )
    problem = project.problem(
        "candidates.student=[{qat: {}}, {convert: {quantization: int8}}]",
        "candidates.more=[{prune: {sparsity: 0.5}}, {qat: {}}, {convert: {quantization: int8}}]",
    )
    assert problem.key() == "candidates.student[0].qat"
    assert problem.message == (
        "rescaling: Rescaling has no fake quantization in TFMOT; scale in preprocessing_fn"
    )


def test_runner_that_beam_does_not_have(project: Project) -> None:
    problem = project.problem("run.beam_args=[--runner=Nope]")
    assert problem.key() == "run.beam_args"
    assert "Nope" in problem.message
