"""The data's folder and the patterns of the splits are checked before anything runs."""

from __future__ import annotations

import pytest

from pipeline.plan.data_files import split_files
from tests.pipeline.checks.unread import CONFIG, checked, refusal
from tests.project import changed


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
            "there is no folder ddd",
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
            "'t*-0*' and 'train*', the train split, both match train-0.tfrecord; accuracy on "
            "trained examples means nothing, so narrow one of the patterns",
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
    assert found[0].line == (lines[0] if lines else 5)  # of `splits` where eval is not written


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
