"""Relative paths of a config are relative to the folder of its file; `~` is the home folder. Paths of `--set` are

typed in a shell, so they are relative to the working directory.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline.config.problem import Location

# Keys that hold a path. `import` may be a path itself.
_PATHS: tuple[tuple[str, ...], ...] = (
    ("data", "path"),
    ("model", "import"),
    ("model", "import", "path"),
    ("model", "import", "weights"),
    ("model", "pretrained", "path"),
    ("model", "pretrained", "weights"),
    ("push", "directory"),
    ("run", "pipeline_root"),
    ("run", "metadata"),
)
_SQLITE = "sqlite:///"
# Values of model.pretrained.weights that are not paths.
_NAMES = frozenset({"imagenet", "random"})


def resolve(values: Any, path: Path, typed: Iterable[Location] = ()) -> None:
    """Replaces the relative paths of a config by paths that the working directory leads to.

    Args:
        values: The config as plain values, which is changed.
        path: The config's file.
        typed: Places that `--set` wrote.
    """
    typed = tuple(typed)
    for keys in _PATHS:
        section = values
        for key in keys[:-1]:
            section = section.get(key) if isinstance(section, dict) else None
        if not isinstance(section, dict) or not isinstance(section.get(keys[-1]), str):
            continue
        by_shell = any(keys[: len(place)] == place for place in typed)
        text = section[keys[-1]]
        if keys[-1] == "metadata":
            if text.startswith(_SQLITE) and len(text) > len(_SQLITE):
                section["metadata"] = _SQLITE + from_config(
                    text.removeprefix(_SQLITE), path.parent, by_shell
                )
        elif text not in _NAMES:
            section[keys[-1]] = from_config(text, path.parent, by_shell)


def from_config(text: str, folder: Path, by_shell: bool = False) -> str:
    """A path as the working directory leads to it.

    Args:
        text: As written; empty text and URLs stay.
        folder: Folder of the config. by_shell: Whether it is relative to the working directory anyway.
    """
    if not text or "://" in text or "\0" in text:
        return text
    text = os.path.expanduser(text) if text.startswith("~") else text
    here = Path.cwd()
    if os.path.isabs(text) or by_shell or folder.absolute() == here or folder.resolve() == here.resolve():
        return text
    whole = os.path.normpath(os.path.join(folder.absolute(), text))
    return os.path.relpath(whole, here) if Path(whole).is_relative_to(here) else whole


def meant_instead(path: str, folder: Path) -> str | None:
    """The fix for a path that does not exist, but would exist relative to the working directory.

    Args:
        path: As `resolve` leaves it.
        folder: That of the config.

    Returns:
        None if it is not there either.
    """
    whole, folder = os.path.abspath(path), folder.absolute()
    if folder.resolve() == Path.cwd().resolve() or not Path(whole).is_relative_to(folder):
        return None
    written = os.path.relpath(whole, folder)
    return os.path.relpath(written, folder) if os.path.exists(written) else None
