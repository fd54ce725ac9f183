"""Paths: as messages show them, and whether the system and TFX can use them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pipeline.base.texts import excerpt

# Bytes of a name and of a path on Linux (`man 3 limits.h`). Below its root TFX adds folders to a path.
_LONGEST_NAME = 255
_LONGEST_PATH = 3000


def shown(path: Path) -> str:
    """A path from the working directory, if it is below it."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def unusable(folder: str | Path) -> str:
    """Why neither the system nor TFX can use a folder, whether it exists or not; empty if they can."""
    text = os.fspath(folder)
    if scheme := re.match(r"[A-Za-z][A-Za-z0-9+.-]*://?", text):
        return f"{scheme[0]} is not a path of this machine"
    for name in text.split(os.sep):
        size = len(os.fsencode(name))
        if size > _LONGEST_NAME:
            return f"{excerpt(name)} is a name of {size} bytes, but at most {_LONGEST_NAME} are possible"
    size = len(os.fsencode(os.path.abspath(text)))
    if size > _LONGEST_PATH:
        return f"the path has {size} bytes, but at most {_LONGEST_PATH} are possible"
    return pattern_in_name(Path(text))


def pattern_in_name(folder: Path) -> str:
    """Why TFX would not find files below a folder, since it looks for them by patterns; empty if it would."""
    special = sorted(set("*?[]\\") & set(str(folder.absolute())))
    if not special:
        return ""
    return f"{folder.absolute()} has {' '.join(special)} in its name, which TFX reads as a pattern"
