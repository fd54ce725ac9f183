"""What runs LiteRT.js: npm's packages, Node and Chromium. Imports neither TensorFlow nor NumPy."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
# Folder with package.json and node_modules, if the package's own cannot be written to.
FOLDER_VARIABLE = "PAREDOWN_WEB"
PACKAGE = "@litertjs/core"
_DRIVER = "playwright-core"
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
# Other things that influence a result, besides versions.
_SOURCES = ("host.js", "page.html", "page.js")


def folder() -> Path:
    """Folder in which npm installs."""
    return Path(os.environ.get(FOLDER_VARIABLE) or HERE)


def modules() -> Path:
    """Folder of npm's packages."""
    return folder() / "node_modules"


def node() -> str | None:
    """Node's program; None if there is none."""
    return shutil.which("node") or shutil.which("nodejs")


def chromium() -> str | None:
    """Chromium's program; None if there is none."""
    return next(filter(None, map(shutil.which, _CHROMIUM)), None)


def missing() -> list[str]:
    """What has to be installed, by the command that does it."""
    found = {"nodejs": node(), "chromium": chromium()}
    debian = [package for package, program in found.items() if program is None]
    wanted = _wanted()
    installed = all(_version_in(modules() / name) == version for name, version in wanted.items())
    commands = [f"apt-get install --no-install-recommends {' '.join(debian)}"] if debian else []
    if not installed:
        path = folder()
        copied = "" if path == HERE else f"cp {HERE}/package*.json {path} && "
        commands.append(f"{copied}npm ci --ignore-scripts --prefix {path}")
    return commands


def version() -> str | None:
    """Version of LiteRT.js and of the browser; None if something is missing."""
    program = chromium()
    if missing() or program is None:
        return None
    return f"{_wanted()[PACKAGE]} in {_browser(program)}"


def key() -> str | None:
    """As `version`, with what else decides about results."""
    found = version()
    if found is None:
        return None
    digest = hashlib.sha256(b"".join((HERE / name).read_bytes() for name in _SOURCES))
    return f"{found}, {_DRIVER} {_wanted()[_DRIVER]}, {digest.hexdigest()[:8]}"


@functools.cache
def _browser(program: str) -> str:
    answer = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=60, check=False)
    words = answer.stdout.split()
    return " ".join(words[:2]) if len(words) > 1 else "Chromium"


def _wanted() -> dict[str, str]:
    """Package → the version that package.json pins."""
    return json.loads((HERE / "package.json").read_text(encoding="utf-8"))["dependencies"]


def _version_in(package: Path) -> str | None:
    try:
        return json.loads((package / "package.json").read_text(encoding="utf-8"))["version"]
    except (OSError, ValueError, KeyError):
        return None
