"""Folders that cannot be written are refused before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.checks.config_checks import check
from pipeline.config.config_file import load
from tests.pipeline.checks.unread import CONFIG, checked, refusal
from tests.project import changed


@pytest.mark.parametrize(
    ("old", "new", "key", "message"),
    [
        pytest.param(
            "directory: serving",
            "directory: data/test-0.tfrecord/mnist  # here",
            "push.directory",
            "data/test-0.tfrecord/mnist cannot be written: data/test-0.tfrecord is a file; name a "
            "folder that can be",
            id="push below a file",
        ),
        pytest.param(
            "directory: serving",
            "directory: data/test-0.tfrecord  # here",
            "push.directory",
            "data/test-0.tfrecord cannot be written: data/test-0.tfrecord is a file",
            id="push to a file",
        ),
        pytest.param(
            "directory: serving",
            "directory: /proc/serving  # here",
            "push.directory",
            "/proc/serving cannot be written: /proc: ",
            id="push where the system refuses",
        ),
        pytest.param(
            "directory: serving",
            "directory: gone/mnist  # here",
            "push.directory",
            "gone/mnist cannot be written: gone is a broken link",
            id="push below a broken link",
        ),
        pytest.param(
            "pipeline_root: out",
            "pipeline_root: data/test-0.tfrecord/out  # here",
            "run.pipeline_root",
            "data/test-0.tfrecord/out cannot be written: data/test-0.tfrecord is a file",
            id="pipeline root below a file",
        ),
        pytest.param(
            "pipeline_root: out",
            "pipeline_root: /proc/out  # here",
            "run.pipeline_root",
            "/proc/out cannot be written: /proc: ",
            id="pipeline root where the system refuses",
        ),
        pytest.param(
            "pipeline_root: out",
            "pipeline_root: out\n  metadata: sqlite:///data/test-0.tfrecord/store  # here",
            "run.metadata",
            "data/test-0.tfrecord cannot be written: data/test-0.tfrecord is a file",
            id="metadata store below a file",
        ),
        pytest.param(
            "pipeline_root: out",
            "pipeline_root: out\n  metadata: sqlite:////proc/store  # here",
            "run.metadata",
            "/proc cannot be written: /proc: ",
            id="metadata store where the system refuses",
        ),
    ],
)
def test_folder_that_cannot_be_written_is_refused(unread, old, new, key, message):
    (unread.root / "gone").symlink_to(unread.root / "nothing")
    found = refusal(unread, changed(CONFIG, old, new))

    assert found.key() == key
    assert found.message.startswith(message)


def test_default_pipeline_root_that_cannot_be_written_is_refused(unread):
    unread.write(".paredown", "a file")
    found = refusal(unread, changed(CONFIG, "run:\n  pipeline_root: out\n", ""))

    assert found.key() == "run.pipeline_root"
    assert found.message.startswith(".paredown/digits cannot be written: .paredown is a file")


def test_folders_that_exist_or_can_be_made_are_accepted(unread):
    (unread.root / "serving").mkdir()
    text = changed(CONFIG, "pipeline_root: out", "pipeline_root: a/b/c\n  metadata: sqlite:///store.db")

    assert checked(unread, text) == []


def test_a_path_that_tfx_takes_for_a_pattern_is_refused(tmp_path, monkeypatch):
    folder = tmp_path / "v[2]"
    folder.mkdir()
    monkeypatch.chdir(folder)
    file = load(Path(__file__).parents[3] / "configs/mnist/pipeline.yaml")
    problems = {problem.key(): problem.message for problem in check(file)}
    for key in ("data.path", "push.directory", "run.pipeline_root"):
        assert "has [ ] in its name, which TFX reads as a pattern" in problems[key]
