"""LiteRT.js in a browser, for tests."""

from __future__ import annotations

import os

import pytest

from components.common.tflite.litert_js import installation


def need() -> None:
    """Skips the test if what runs LiteRT.js is not installed; fails with CI=true if it is something of Debian's."""
    commands = installation.missing()
    if commands:
        text = f"LiteRT.js, or what runs it, is missing: {'; '.join(commands)}"
        debian = any(command.startswith("apt-get") for command in commands)
        (pytest.fail if debian and os.environ.get("CI") == "true" else pytest.skip)(text)
