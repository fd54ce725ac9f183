"""Paths: as messages show them, and whether TFX can use them."""

from __future__ import annotations

from pathlib import Path


def shown(path: Path) -> str:
    """A path from the working directory, if it is below it."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def pattern_in_name(folder: Path) -> str:
    """Why TFX would not find files below a folder, since it looks for them by patterns; empty if it would."""
    special = sorted(set("*?[]") & set(str(folder.absolute())))
    if not special:
        return ""
    return f"{folder.absolute()} has {' '.join(special)} in its name, which TFX reads as a pattern"
