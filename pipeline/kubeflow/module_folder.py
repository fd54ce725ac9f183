"""The folder in which Python finds the model module in the image of a compiled pipeline."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from pipeline.config.config import Config
from pipeline.plan.code_version import module_root
from pipeline.plan.model_source import find_module


def image_module_root(config: Config, config_path: Path) -> str | None:
    """Folder of the model module, below the image's working directory.

    Returns:
        None if no folder has to be named: it is the working directory itself, or one that Python searches.

    Raises:
        ValueError: If the module is outside of the working directory.
    """
    module = config.model.module
    if module is None:
        return None
    path = find_module(module, config_path)
    assert path is not None  # pipeline.checks.config_checks refuses it otherwise
    root = module_root(path.absolute(), module)
    if root.name in ("site-packages", "dist-packages") and str(root) in sys.path:
        return None
    if not root.is_relative_to(Path.cwd()):
        raise ValueError(
            f"{path} is outside of {Path.cwd()}, whose files the image holds; compile in the folder that the image is "
            "built from"
        )
    relative = root.relative_to(Path.cwd()).as_posix()
    return None if relative == "." else relative


def hiding(folder: Path) -> Iterator[Path]:
    """Files that Python would take for a package of Paredown, in a folder that it searches first."""
    for package in ("components", "pipeline"):
        own = Path(__file__).resolve().parents[2] / package
        for path in (folder / f"{package}.py", folder / package):
            imported = path if path.suffix else path / "__init__.py"
            if imported.is_file() and path.resolve() != own:
                yield path
