"""What `paredown inspect` prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from pipeline.cli import main


def inspected(path: Path, *options: str) -> list[dict[str, Any]]:
    """What the command prints as JSON."""
    result = CliRunner().invoke(main, ["inspect", str(path), "--json", *options])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["models"]


def refused(path: Path) -> str:
    """The one line that the command prints when it refuses a path."""
    result = CliRunner().invoke(main, ["inspect", str(path)])
    assert result.exit_code == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line
