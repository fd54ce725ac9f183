"""What a compiled specification says of each task."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.pipeline.kubeflow.conftest import TARGETS

Compile = Callable[..., Any]
every_spec = pytest.mark.parametrize("target", TARGETS)


def tasks_of(compiled: Any) -> dict[str, Any]:
    return compiled.spec["root"]["dag"]["tasks"]


def container_of(compiled: Any, task: str) -> dict[str, Any]:
    label = compiled.spec["components"][task]["executorLabel"]
    return compiled.spec["deploymentSpec"]["executors"][label]["container"]


def argument(compiled: Any, task: str, name: str) -> str | None:
    arguments = container_of(compiled, task)["args"]
    return arguments[arguments.index(name) + 1] if name in arguments else None


def constants_of(compiled: Any, task: str) -> dict[str, Any]:
    """JSON parameters of a task."""
    found = {}
    for key, value in tasks_of(compiled)[task]["inputs"]["parameters"].items():
        constant = value.get("runtimeValue", {})
        text = constant.get("constant") or constant.get("constantValue", {}).get("stringValue", "")
        if isinstance(text, str) and text.startswith("{"):
            found[key] = json.loads(text)
    return found
