"""Versions of installed packages."""

from __future__ import annotations

import functools
import os
import re
import sys

_FOLDER = re.compile(r"(.+?)-([^-]+)\.dist-info")


def version_of(package: str) -> str:
    """Version of an installed package, as `importlib.metadata.version`, whose import takes as long as all else here.

    Raises:
        PackageNotFoundError: If the package is not installed.
    """
    name = _normalized(package)
    for folder in sys.path:
        try:
            changed = os.stat(folder or ".").st_mtime_ns
        except OSError:
            continue
        if found := _versions(folder or ".", changed).get(name):
            return found
    from importlib import metadata

    return metadata.version(package)


def version_or_none(package: str) -> str | None:
    """As `version_of`; None if the package is not installed."""
    try:
        return version_of(package)
    except ImportError:  # PackageNotFoundError
        return None


@functools.cache
def _versions(folder: str, changed: int) -> dict[str, str]:
    """Name → version, by the names of the folders that hold packages' metadata.

    https://packaging.python.org/en/latest/specifications/recording-installed-packages/#the-dist-info-directory

    Args:
        folder: One of sys.path; what is not a folder has no packages.
        changed: When it last changed: a package may be installed meanwhile.
    """
    names = os.listdir(folder) if os.path.isdir(folder) else []
    matches = filter(None, map(_FOLDER.fullmatch, names))
    return {_normalized(match[1]): match[2] for match in matches}


def _normalized(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()
