"""The folders that a run writes to."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pipeline.checks.paths import shown, unusable
from pipeline.config.config import Config
from pipeline.config.problem import Location, Problem

# SQLite refuses longer ones (MAX_PATHNAME in its os_unix.c); the name of its journal ends with "-journal".
_LONGEST_STORE = 512 - len("-journal")

_PUSH: Location = ("push", "directory")
_ROOT: Location = ("run", "pipeline_root")
_STORE: Location = ("run", "metadata")


def check(config: Config) -> list[Problem]:
    """Folders that cannot be written, or where a run would harm something else.

    Each is tried with an unnamed temporary file, so nothing is left behind.
    """
    folders = {_PUSH: config.push.directory, _ROOT: config.pipeline_root}
    if config.run.metadata and config.metadata_path:
        folders[_STORE] = os.path.dirname(config.metadata_path)
    found: list[Problem] = []
    for location, folder in folders.items():
        fault = unusable(folder) or _unwritable(Path(folder).absolute())
        if fault:
            message = f"{folder or '.'} cannot be written: {fault}; name a writable folder"
            found.append(Problem(message, location))
    if not found:
        found += _misplaced(config, folders)
        found += _store_too_long(config)
    return found


def _misplaced(config: Config, folders: dict[Location, str]) -> Iterator[Problem]:
    """Folders of a run that are each other's, or the data's."""
    real = {location: os.path.realpath(folder) for location, folder in folders.items()}
    data = os.path.realpath(config.data.path)
    project = os.path.realpath(os.getcwd())
    for location, folder in real.items():
        name = folders[location] or "."
        if folder == os.sep:
            yield Problem(f"{name} is the root of the file system; name a folder below it", location)
        # A project whose data lie beside the config has everything in the folder of the data.
        elif folder == data or (_is_in(folder, data) and not _is_in(project, data)):
            yield Problem(
                f"{name} is in the data folder, {config.data.path}, whose files are read as examples; name a folder "
                "outside of it",
                location,
            )
    push, root = real[_PUSH], real[_ROOT]
    if root != os.sep and _is_in(push, root):
        yield Problem(
            f"{folders[_PUSH]} is in the pipeline root, {config.pipeline_root}, whose folders belong to the cache; "
            "name a folder outside of it",
            _PUSH,
        )


def _store_too_long(config: Config) -> Iterator[Problem]:
    path = config.metadata_path
    if path is None:
        return
    length = len(os.fsencode(os.path.abspath(path)))
    if length > _LONGEST_STORE:
        yield Problem(
            f"the metadata store's file has a path of {length} bytes, and SQLite opens up to {_LONGEST_STORE}; write "
            f"a "
            "shorter one as run.metadata: sqlite:///…",
            _STORE if config.run.metadata else _ROOT,
        )


def _is_in(folder: str, other: str) -> bool:
    """Whether a folder is the other one, or below it."""
    return os.path.commonpath([folder, other]) == other


def _unwritable(folder: Path) -> str:
    """Why no file can be made in a folder, which may not exist yet; empty if one can."""
    while not os.path.lexists(folder):
        folder = folder.parent
    if not os.path.isdir(folder):
        return f"{shown(folder)} is {'a broken link' if folder.is_symlink() else 'a file'}"
    try:
        # os.access says yes to root even if the file system says no.
        # In a folder behind a link, Python would make a named file.
        tempfile.TemporaryFile(dir=os.path.realpath(folder)).close()
    except OSError as error:
        return f"{shown(folder)}: {error.strerror}"
    return ""
