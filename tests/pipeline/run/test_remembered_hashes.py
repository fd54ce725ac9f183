"""What `plan` remembers of files from one command to the next, and that a run does not go by it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from components.common.base import file_hashes
from pipeline.base import user_cache
from pipeline.run.remembered_hashes import remembered


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(file_hashes, "TICK_NS", 0)
    return user_cache.folder()


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files whose content is read."""
    names: list[str] = []
    whole = file_hashes.digest
    monkeypatch.setattr(
        file_hashes, "digest", lambda path: names.append(os.path.basename(path)) or whole(path)
    )
    return names


def ask(*files: Path, place: str = "here") -> list[str]:
    with remembered(place) as hashes:
        return [hashes.digest(file) for file in files]


def test_a_file_is_read_again_only_if_it_changed(tmp_path: Path, read: list[str]) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"1")
    two.write_bytes(b"2")
    expected = [hashlib.sha256(content).hexdigest() for content in (b"1", b"2", b"3")]

    assert ask(one, two) == ask(one, two) == expected[:2]
    assert read == ["one", "two"]

    # Same size, and the time of modification is set back: the time of change is not.
    status = two.stat()
    two.write_bytes(b"3")
    os.utime(two, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert ask(one, two) == [expected[0], expected[2]]
    assert read == ["one", "two", "two"]


def test_places_do_not_share_and_what_is_not_asked_for_is_forgotten(
    tmp_path: Path, read: list[str], cache: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"1")
    two.write_bytes(b"2")
    ask(one, two)
    ask(one, place="there")
    assert len(list(cache.iterdir())) == 2
    ask(two)
    ask(one, two)
    assert read == ["one", "two", "one", "one"]


@pytest.mark.parametrize("damage", ["", "{}", "other\n{}", None])
def test_a_damaged_file_is_as_none(
    tmp_path: Path, read: list[str], cache: Path, damage: str | None
) -> None:
    one = tmp_path / "one"
    one.write_bytes(b"1")
    (digest,) = ask(one)
    (kept,) = cache.iterdir()
    if damage is None:  # a digest was changed
        kept.write_text(kept.read_text().replace(digest, "0" * 64))
    else:
        kept.write_text(damage)
    assert ask(one) == [digest]
    assert read == ["one", "one"]


def test_a_cache_folder_that_cannot_be_written_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = tmp_path / "one"
    one.write_bytes(b"1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(one))
    assert ask(one) == [hashlib.sha256(b"1").hexdigest()]
