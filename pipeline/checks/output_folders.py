"""The folders that a run writes to."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from pipeline.checks.paths import pattern_in_name, shown
from pipeline.config.config import Config
from pipeline.config.problem import Location, Problem


def check(config: Config) -> list[Problem]:
    """Folders that cannot be written; each is tried with an unnamed temporary file, so nothing is left behind."""
    folders: list[tuple[Location, str]] = [
        (("push", "directory"), config.push.directory),
        (("run", "pipeline_root"), config.pipeline_root),
    ]
    if config.run.metadata and config.metadata_path:
        folders.append((("run", "metadata"), os.path.dirname(config.metadata_path)))
    found = []
    for location, folder in folders:
        fault = pattern_in_name(Path(folder)) or _unwritable(Path(folder).absolute())
        if fault:
            message = f"{folder or '.'} cannot be written: {fault}; name a folder that can be"
            found.append(Problem(message, location))
    return found


def _unwritable(folder: Path) -> str:
    """Why no file can be made in a folder, which may not exist yet; empty if one can."""
    while not os.path.lexists(folder):
        folder = folder.parent
    if not os.path.isdir(folder):
        return f"{shown(folder)} is {'a broken link' if folder.is_symlink() else 'a file'}"
    try:
        # os.access says yes to root even if the file system says no.
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return f"{shown(folder)}: {error.strerror}"
    return ""
