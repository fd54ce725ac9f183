"""What the tests of the whole gate judge."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.components.conftest import Step
from tests.conftest import Trained

if TYPE_CHECKING:
    from tests.components.evaluator.judging import Judge


@pytest.fixture
def judge(converted: Callable[..., Step], trained: Trained, mnist_examples: Any, tmp_path: Path) -> Judge:
    """Evaluates copies of an int8 file and of a float32 file."""
    from tests.components.evaluator.judging import Judge

    candidate = tmp_path / "candidate"
    shutil.copytree(converted(trained.uri, "int8", "int8").uri, candidate)
    baseline = tmp_path / "baseline"
    shutil.copytree(converted(trained.uri, "float32").uri, baseline)
    return Judge(str(candidate), str(baseline), mnist_examples, tmp_path / "evaluation")
