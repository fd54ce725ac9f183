"""`import paredown` from this tree, whatever is installed: the package lies in `pipeline/api`."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

_API = Path(__file__).resolve().parent.parent / "pipeline" / "api"


def map_paredown() -> None:
    """Imports the package under its installed name, as the `package_dir` of setup.py maps it."""
    spec = importlib.util.spec_from_file_location(
        "paredown", _API / "__init__.py", submodule_search_locations=[str(_API)]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["paredown"] = module
    spec.loader.exec_module(module)
