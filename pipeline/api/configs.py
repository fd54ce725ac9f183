"""Loading a config."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from pipeline.checks.checked_config import load_checked
from pipeline.config.config_file import ConfigFile


def load(
    path: str | PathLike[str],
    overrides: Mapping[str, Any] | Sequence[str] = (),
    only: Sequence[str] = (),
) -> ConfigFile:
    """Reads a config and checks it, without TensorFlow: `paredown validate`.

    Args:
        path: The YAML file.
        overrides: Dotted key → value, such as `{"gate.size.max_ratio": 0.5}`; or texts as `--set` takes them.
        only: Candidates to keep; all of them if it is empty.

    Returns:
        The config: its content is `config`, typed.

    Raises:
        ConfigError: If it is not valid; `problems` has each mistake with its file, line, key and fix.
    """
    if isinstance(overrides, Mapping):
        overrides = [f"{key}={json.dumps(value)}" for key, value in overrides.items()]
    return load_checked(Path(path), overrides, only)
