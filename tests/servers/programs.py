"""The programs of a database server, which tests run and Debian packages bring."""

from __future__ import annotations

import os
import shutil
from glob import glob

import pytest


def find(package: str, *names: str) -> list[str]:
    """Paths of a server's programs.

    Looks on PATH and where Debian puts them. If one is missing the test is skipped, or, with CI=true, fails: a server
    that is never tried there is not tested at all.

    Args:
        package: The Debian package that brings them.
        *names: Of the programs.
    """
    found = [_find(name) for name in names]
    missing = [name for name, path in zip(names, found, strict=True) if path is None]
    if missing:
        text = f"{' and '.join(missing)} not found: apt-get install --no-install-recommends {package}"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(text)
    return [path for path in found if path]


def _find(name: str) -> str | None:
    # Debian keeps PostgreSQL's programs off PATH; what is there under their names may be anything.
    versions = sorted(glob("/usr/lib/postgresql/*/bin"), key=_version, reverse=True)
    return shutil.which(name, path=os.pathsep.join([*versions, os.environ["PATH"], "/usr/sbin"]))


def _version(folder: str) -> float:
    try:
        return float(folder.split("/")[-2])
    except ValueError:
        return 0
