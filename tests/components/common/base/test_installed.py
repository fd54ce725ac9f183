"""Versions of installed packages."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from components.common.base.installed import version_of


def test_every_installed_package_has_the_version_that_importlib_says() -> None:
    names = {distribution.name for distribution in metadata.distributions()}
    assert len(names) > 100
    assert {name: version_of(name) for name in names} == {name: metadata.version(name) for name in names}


def test_a_package_that_is_not_installed_is_an_error() -> None:
    with pytest.raises(metadata.PackageNotFoundError):
        version_of("no-such-package")


def test_a_version_that_is_installed_meanwhile_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "Some_Package-1.0.dist-info").mkdir()
    assert version_of("some.package") == "1.0"
    (tmp_path / "Some_Package-1.0.dist-info").rename(tmp_path / "some_package-1.1.post1.dist-info")
    assert version_of("some-package") == "1.1.post1"
