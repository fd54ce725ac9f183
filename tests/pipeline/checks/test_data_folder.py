"""The data's folder and the patterns of the splits are checked before anything runs."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from pipeline.checks import data_folder
from pipeline.plan.data_files import split_files
from tests.pipeline.checks.unread import CONFIG, checked, refusal
from tests.project import Project, changed


@pytest.mark.parametrize(
    ("old", "new", "key", "message"),
    [
        pytest.param(
            "path: data",
            "path: dta  # here",
            "data.path",
            "there is no folder dta; did you mean 'data'?",
            id="folder that is not there",
        ),
        pytest.param(
            "path: data",
            "path: dat/digits/2024  # here",
            "data.path",
            "there is no folder dat/digits/2024; did you mean 'data'?",
            id="folder below one that is not there",
        ),
        pytest.param(
            "path: data",
            "path: nested/folders/digts  # here",
            "data.path",
            "there is no folder nested/folders/digts; did you mean 'nested/folders/digits'?",
            id="folder in folders that are there",
        ),
        pytest.param(
            "path: data",
            "path: zebra/x  # here",
            "data.path",
            "there is no folder zebra/x; write an existing one",
            id="folder that is like no other",
        ),
        pytest.param(
            "path: data",
            f"path: {'d' * 300}  # here",
            "data.path",
            "d" * 57
            + "... is a name of 300 bytes, but at most 255 are possible; write the path of a folder",
            id="folder whose name is too long",
        ),
        pytest.param(
            "path: data",
            "path: data/train-0.tfrecord  # here",
            "data.path",
            "data/train-0.tfrecord is a file; write the folder that holds it",
            id="file where a folder belongs",
        ),
        pytest.param(
            "path: data",
            "path: empty  # here",
            "data.path",
            "empty holds no files; write the folder of the examples",
            id="folder without files",
        ),
        pytest.param(
            "eval: test*",
            "eval: val*  # here",
            "data.splits.eval",
            "'val*' matches no file in data, which holds test-0.tfrecord, train-0.tfrecord, "
            "train-1.tfrecord; write a pattern that matches the eval files",
            id="pattern that matches nothing",
        ),
        pytest.param(
            "train: train*",
            "train: tra  # here",
            "data.splits.train",
            "'tra' matches no file in data, which holds ",
            id="pattern that matches a part of a name",
        ),
        pytest.param(
            "    eval: test*",
            "    # the default is eval*",
            "data.splits.eval",
            "'eval*' matches no file in data, which holds ",
            id="default pattern that matches nothing",
        ),
        pytest.param(
            "eval: test*",
            "eval: ../empty/*  # here",
            "data.splits.eval",
            "'../empty/*' matches no file in data, which holds ",
            id="pattern in another folder that matches nothing",
        ),
        pytest.param(
            "eval: test*",
            "eval: /data/test*  # here",
            "data.splits.eval",
            "'/data/test*' is not a pattern below data.path, such as 'train*'",
            id="absolute pattern",
        ),
        pytest.param(
            "eval: test*",
            'eval: ""  # here',
            "data.splits.eval",
            "'' is not a pattern below data.path, such as 'train*'",
            id="empty pattern",
        ),
        pytest.param(
            "eval: test*",
            'eval: "**/test*"  # here',
            "data.splits.eval",
            "'**/test*' has '**', which TFX does not match consistently; write '*' for each level",
            id="pattern for any depth",
        ),
        pytest.param(
            "eval: test*",
            "eval: t*-0*  # here",
            "data.splits.eval",
            "'t*-0*' and 'train*', the train split, both match train-0.tfrecord; accuracy on training examples means "
            "nothing, so narrow one of the patterns",
            id="file in both splits",
        ),
    ],
)
def test_data_that_cannot_be_read_is_refused(unread, old, new, key, message):
    (unread.root / "empty").mkdir()
    (unread.root / "nested" / "folders" / "digits").mkdir(parents=True)
    text = changed(CONFIG, old, new)
    found = checked(unread, text)

    assert [p.key() for p in found] == [key]
    assert found[0].message.startswith(message)
    lines = [n for n, line in enumerate(text.splitlines(), start=1) if "# here" in line]
    assert found[0].line == (lines[0] if lines else 5)  # of `splits` if eval is not written


def test_empty_file_in_a_split_is_refused(unread):
    unread.write("data/test-1.tfrecord", b"")
    found = refusal(unread, changed(CONFIG, "eval: test*", "eval: test*  # here"))

    assert found.key() == "data.splits.eval"
    assert found.message == ("'test*' matches files of 0 bytes: test-1.tfrecord; remove or replace them")


def test_long_lists_of_files_are_shortened(unread):
    for number in range(10, 30):
        unread.write(f"data/more/shard-{number}", "x")
    found = refusal(unread, changed(CONFIG, "eval: test*", "eval: val*  # here"))

    assert (
        "which holds more/shard-10, more/shard-11, more/shard-12, more/shard-13, more/shard-14, "
        "more/shard-15 and 17 more; write" in found.message
    )


def test_both_splits_can_be_wrong(unread):
    unread.write("data/test-0.tfrecord", b"")
    text = changed(CONFIG, "train: train*", "train: training*")

    assert [(p.line, p.key()) for p in checked(unread, text)] == [
        (6, "data.splits.train"),
        (7, "data.splits.eval"),
    ]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*", [".hidden", "a-0", "b-1"]),
        ("?-[01]", ["a-0", "b-1"]),
        ("b-1", ["b-1"]),
        ("deep/*", ["deep/c"]),
        ("*/c", ["deep/c"]),
        ("dee*", []),
        ("[", []),
    ],
)
def test_split_files_are_those_that_tfx_matches(tmp_path, pattern, names):
    (tmp_path / "deep").mkdir()
    for name in ("a-0", "b-1", ".hidden", "deep/c"):
        (tmp_path / name).write_text("x")

    found = split_files(tmp_path, pattern)

    assert [str(path.relative_to(tmp_path)) for path in found] == names


@pytest.mark.parametrize("name", ["data/train-2.tfrecord", "data/test-1.tfrecord"])
def test_a_fifo_among_data_is_refused(unread, name):
    os.mkfifo(unread.root / name)
    problem = unread.refusal()
    assert problem.key() == f"data.splits.{'train' if 'train' in name else 'eval'}"
    assert problem.message.endswith(
        f"matches something that is not a file or folder (a FIFO or device): {name[5:]}; remove it"
    )


def test_links_that_lead_to_themselves_are_refused(unread):
    (unread.root / "data/train-2.tfrecord").symlink_to("train-2.tfrecord")
    (unread.root / "data/loop").symlink_to(".")
    problem = unread.refusal()
    assert "matches links to files that do not exist: train-2.tfrecord" in problem.message
    assert "there is no folder x" in unread.refusal("data.path=x", "run.seed=1").message
    (unread.root / "x").symlink_to("x")
    assert unread.refusal("data.path=x").key() == "data.path"


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("x" * 300, "it has more than 50 levels, or a name of more than 255 bytes"),
        ("x/" * 2000 + "*", "it has more than 50 levels, or a name of more than 255 bytes"),
        ("{SPAN}" + "x" * 300, "data.splits.train"),
        ("train\\*", "has '\\', which TFX reads as an escape"),
    ],
)
def test_a_pattern_that_nothing_can_match_is_refused(unread, pattern, message):
    problems = unread.checked(f"data.splits={{train: {pattern!r}, eval: {pattern!r}}}")
    assert message in str(problems[0]) and problems[0].key() == "data.splits.train"


@pytest.mark.skipif(os.getuid() != 0, reason="needs to become another user")
@pytest.mark.parametrize("form", ["tfrecord", "images"])
@pytest.mark.parametrize("closed", ["train/a/1.png", "train/a", "train", ""])
def test_what_cannot_be_read_is_named(monkeypatch, form, closed):
    with tempfile.TemporaryDirectory() as name:
        project = Project(Path(name), monkeypatch)
        project.root.chmod(0o755)
        for file in ("train/a/1.png", "train/b/1.png", "eval/a/1.png", "eval/b/1.png"):
            project.write(f"data/{file}", b"\x89PNG\r\n\x1a\n")
        size = ", image: {size: [2, 2]}"
        patterns = "splits: {train: 'train/*/*', eval: 'eval/*/*'}"
        project.write_config(
            data=f"{{path: data, format: {form}, {patterns}, label: label{size if form == 'images' else ''}}}"
        )
        file = project.load()
        (project.root / "data" / closed).chmod(0)
        os.seteuid(65534)
        try:
            found = data_folder.check(file.config.data)
        finally:
            os.seteuid(0)
            monkeypatch.undo()
    reported = "\n".join(map(str, found))
    if closed:
        assert f"'train/*/*' reaches files or folders that cannot be read: {closed}; run chmod" in reported
        assert found[0].key() == "data.splits.train"
    else:
        assert found[0].key() == "data.path" and "data cannot be read" in reported
