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
            "data/test-0.tfrecord/mnist cannot be written: data/test-0.tfrecord is a file; name a writable folder",
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
    shipped = (Path(__file__).parents[3] / "configs/mnist/pipeline.yaml").read_text(encoding="utf-8")
    (folder / "pipeline.yaml").write_text(shipped.replace("../../", ""), encoding="utf-8")
    file = load("pipeline.yaml")
    problems = {problem.key(): problem.message for problem in check(file)}
    for key in ("data.path", "push.directory", "run.pipeline_root"):
        assert "has [ ] in its name, which TFX reads as a pattern" in problems[key]


@pytest.mark.parametrize(
    ("sets", "key", "message"),
    [
        (["push.directory=/"], "push.directory", "/ is the root of the file system"),
        (["push.directory=out/../../{name}/.."], "push.directory", None),
        (["push.directory=out"], "push.directory", "out is in the pipeline root, out"),
        (["push.directory=out/serving"], "push.directory", "out/serving is in the pipeline root, out"),
        (["push.directory=link/serving"], "push.directory", "link/serving is in the pipeline root, out"),
        (["push.directory=data"], "push.directory", "data is in the data folder, data"),
        (["push.directory=data/x/serving"], "push.directory", "data/x/serving is in the data folder, data"),
        (["run.pipeline_root=data/out"], "run.pipeline_root", "data/out is in the data folder, data"),
        (["run.pipeline_root=/"], "run.pipeline_root", "/ is the root of the file system"),
        (["run.metadata=sqlite:///data/store"], "run.metadata", "data is in the data folder, data"),
        (["push.directory=http://host/x"], "push.directory", "http:// is not a path of this machine"),
        (["push.directory=gs://bucket/x"], "push.directory", "gs:// is not a path of this machine"),
        (["push.directory=file:/x"], "push.directory", "file:/ is not a path of this machine"),
        (["run.pipeline_root=s3://b/x"], "run.pipeline_root", "s3:// is not a path of this machine"),
        (
            [f"push.directory={'x' * 300}"],
            "push.directory",
            "is a name of 300 bytes, but at most 255 are possible",
        ),
        (
            [f"push.directory={'é' * 150}"],
            "push.directory",
            "is a name of 300 bytes, but at most 255 are possible",
        ),
        ([f"run.pipeline_root={'x/' * 2000}"], "run.pipeline_root", "bytes, but at most 3000 are possible"),
        (['push.directory="a\\0b"'], "push.directory", "has a NUL character"),
        (['run.pipeline_root="a\\0b"'], "run.pipeline_root", "has a NUL character"),
        (['data.path="a\\0b"'], "data.path", "has a NUL character"),
        (['model.hparams={"a\\0b": 1}'], "model.hparams.a\0b", "has a NUL character"),
        (["push.directory=a\\b"], "push.directory", "has \\ in its name, which TFX reads as a pattern"),
        (["data.path=https://host/data"], "data.path", "https:// is not a path of this machine"),
        ([f"data.path={'x' * 300}"], "data.path", "is a name of 300 bytes"),
        ([f"run.metadata=sqlite:///{'x' * 200}/{'y' * 300}/a"], "run.metadata", "is a name of 300 bytes"),
        ([f"run.pipeline_root={'x' * 250}/{'y' * 250}"], "run.pipeline_root", "SQLite opens up to 504"),
        ([f"run.metadata=sqlite:///{'x' * 250}/{'y' * 250}/a"], "run.metadata", "SQLite opens up to 504"),
    ],
)
def test_a_place_where_a_run_would_do_harm_is_refused(unread, sets, key, message):
    (unread.root / "out").mkdir()
    (unread.root / "link").symlink_to("out")
    unread.write_config(CONFIG)
    sets = [text.format(name=unread.root.name) if "{name}" in text else text for text in sets]
    if message is None:  # a folder that holds the pipeline root and the data is not theirs
        assert unread.checked(*sets) == []
        return
    problem = unread.refusal(*sets)
    assert (problem.key(), problem.file[:6]) == (key, "--set ")
    assert message in problem.message and len(problem.message) < 5000


def test_data_beside_the_config_leave_room_for_the_results(unread):
    for file in (unread.root / "data").iterdir():
        file.rename(unread.root / file.name)
    assert checked(unread, changed(CONFIG, "path: data", "path: .")) == []
    assert [
        p.key()
        for p in checked(unread, CONFIG.replace("path: data", "path: .").replace(": serving", ": ."))
    ] == ["push.directory"]
