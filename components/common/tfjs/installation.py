"""The converter to TensorFlow.js and what runs its models. Imports neither TensorFlow nor NumPy."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

HERE = Path(__file__).parent
# Folder with `venv` and `node_modules`, if they are not beside Paredown's packages.
FOLDER_VARIABLE = "PAREDOWN_TFJS"
PACKAGE = "tensorflowjs"
_ROOT = HERE.parents[2]


def folder() -> Path:
    """Folder of the environment."""
    return Path(os.environ.get(FOLDER_VARIABLE) or _ROOT / ".tfjs")


def converter() -> Path:
    """The converter's program."""
    return folder() / "venv" / "bin" / "tensorflowjs_converter"


def modules() -> Path:
    """Folder of npm's packages."""
    return folder() / "node_modules"


def node() -> str | None:
    """Node's program; None if there is none."""
    return shutil.which("node") or shutil.which("nodejs")


def missing() -> list[str]:
    """What has to be installed, by the command that does it."""
    commands = [] if node() else ["apt-get install --no-install-recommends nodejs npm"]
    if _converter_installed() and _modules_installed():
        return commands
    if (_ROOT / "Makefile").is_file() and FOLDER_VARIABLE not in os.environ:
        return [*commands, "make tfjs"]
    path = folder()
    return [
        *commands,
        f"python3.10 -m venv {path}/venv",
        f"{path}/venv/bin/pip install --no-deps --require-hashes -r {HERE}/requirements.lock",
        f"cp {HERE}/package*.json {path} && npm ci --ignore-scripts --prefix {path}",
    ]


def version() -> str | None:
    """Version of TensorFlow.js; None if something is missing."""
    return None if missing() else _locked()


def _locked() -> str:
    """The converter's version in the lock file."""
    text = (HERE / "requirements.lock").read_text(encoding="utf-8")
    found = re.search(rf"^{PACKAGE}==(\S+)", text, re.MULTILINE)
    assert found is not None
    return found[1]


def _converter_installed() -> bool:
    installed = f"lib/python3*/site-packages/{PACKAGE}-{_locked()}.dist-info"
    return converter().exists() and any((folder() / "venv").glob(installed))


def _modules_installed() -> bool:
    wanted = json.loads((HERE / "package.json").read_text(encoding="utf-8"))["dependencies"]
    return all(_version_in(modules() / name) == version for name, version in wanted.items())


def _version_in(package: Path) -> str | None:
    try:
        return json.loads((package / "package.json").read_text(encoding="utf-8"))["version"]
    except (OSError, ValueError, KeyError):
        return None
