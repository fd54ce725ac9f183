"""Tests without TensorFlow are tests without TensorFlow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiers import UNIT

ROOT = Path(__file__).parents[1]


@pytest.mark.tf  # with -m unit, the collection of the tests themselves shows it
def test_no_module_of_unit_tests_imports_tensorflow() -> None:
    """With `-m unit` importing it is an error, in the tests, too."""
    arguments = ["-m", "unit", "--collect-only", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "test_with_unit_tests_alone_importing_tensorflow_is_an_error" in done.stdout
    assert "tests/e2e/" not in done.stdout


def test_with_unit_tests_alone_importing_tensorflow_is_an_error(pytestconfig: pytest.Config) -> None:
    if pytestconfig.option.markexpr == "unit":
        for name in ("tensorflow", "tfx.v1", "tf_keras"):
            with pytest.raises(ImportError, match=r"mark the test with pytest\.mark\.tf"):
                __import__(name)
    assert all((ROOT / path).exists() for path in UNIT)


def test_each_test_has_one_tier(request: pytest.FixtureRequest) -> None:
    for item in request.session.items:
        assert len({"unit", "tf", "e2e"} & {mark.name for mark in item.iter_markers()}) == 1, item.nodeid
