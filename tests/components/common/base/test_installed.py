"""Versions of installed packages."""

from __future__ import annotations

from importlib import metadata

import pytest

from components.common.base.installed import version_of


def test_every_installed_package_has_the_version_that_importlib_says() -> None:
    names = {distribution.name for distribution in metadata.distributions()}
    assert len(names) > 100
    assert {name: version_of(name) for name in names} == {name: metadata.version(name) for name in names}


def test_a_package_that_is_not_installed_is_an_error() -> None:
    with pytest.raises(metadata.PackageNotFoundError):
        version_of("no-such-package")
