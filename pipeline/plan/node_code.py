"""The code that a node runs: the version that its parameters name, and that of the files that are there now."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.config.config import Config
from pipeline.plan.code_version import component_version, is_distributed, module_version
from pipeline.plan.model_source import find_module


def versions(executor: str, parameters: Mapping[str, Any]) -> tuple[str, str] | None:
    """The version of a node's code in its parameters, and the one of the files.

    Args:
        executor: Dotted name of the executor's module.
        parameters: Parameters of the node.

    Returns:
        None if the node has no code of ours.
    """
    # A node of TFX has one parameter for everything of ours.
    ours = parameters if "code_version" in parameters else custom_config(parameters)
    planned = ours.get("code_version")
    if planned is None:
        return None
    kept = json.loads(ours.get("code_modules") or "[]")
    return planned, component_version(
        executor, is_distributed(ours.get("params") or "{}"), kept=tuple(kept)
    )


def custom_config(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """A node's `custom_config`; empty if it has none, which TFX writes as null."""
    return json.loads(parameters.get("custom_config") or "null") or {}


def model_version(config: Config, config_path: Path) -> str:
    """The version of the model module and of what it imports; empty if the config names none.

    Raises:
        FileNotFoundError: If there is no such module.
        SyntaxError: If it is not Python.
    """
    name = config.model.module
    if name is None:
        return ""
    module = find_module(name, config_path)
    if module is None:
        raise FileNotFoundError(f"module {name} not found")
    return module_version(module, name, config_path)
