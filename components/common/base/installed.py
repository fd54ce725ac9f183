"""Versions of installed packages."""

from __future__ import annotations

from importlib import metadata

_KEY = "Version: "


def version_of(package: str) -> str:
    """Version of an installed package, as `importlib.metadata.version`, which parses the package's whole README for it.

    Raises:
        PackageNotFoundError: If the package is not installed.
    """
    header, _, _ = (metadata.distribution(package).read_text("METADATA") or "").partition("\n\n")
    found = next((line for line in header.splitlines() if line.startswith(_KEY)), None)
    return metadata.version(package) if found is None else found.removeprefix(_KEY).strip()


def version_or_none(package: str) -> str | None:
    """As `version_of`; None if the package is not installed."""
    try:
        return version_of(package)
    except metadata.PackageNotFoundError:
        return None
