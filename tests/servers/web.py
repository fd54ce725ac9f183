"""LiteRT.js in a browser, for tests."""

from __future__ import annotations

import os

import pytest

from components.common.tflite.litert_js import installation


def need() -> None:
    """Skips the test if what runs LiteRT.js is not installed, or, with CI=true, fails."""
    commands = installation.missing()
    if commands:
        text = f"LiteRT.js, or what runs it, is missing: {'; '.join(commands)}"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(text)
