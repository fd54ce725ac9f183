"""What says that LiteRT.js is missing, and what to type."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.common.tflite.litert_js import installation
from components.common.tflite.litert_js.browser import Browser, LiteRTJsError
from components.targets.registry import TARGETS
from pipeline.checks import target_checks
from pipeline.config.config_file import load
from tests.project import MNIST


def test_each_missing_part_has_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv(installation.FOLDER_VARIABLE, str(tmp_path))
    debian, npm = installation.missing()
    assert debian == "apt-get install --no-install-recommends nodejs chromium"
    assert npm.startswith("cp ") and npm.endswith(f"npm ci --ignore-scripts --prefix {tmp_path}")
    assert installation.version() is installation.key() is TARGETS["web"].installed() is None
    (problem,) = target_checks.check_installed(load(MNIST, ["target=web"]).config)
    assert problem.message == f"web needs @litertjs/core, which is not installed; run: {debian}; {npm}"
    with pytest.raises(LiteRTJsError, match="something is not installed; run: apt-get"):
        Browser()


def test_another_version_than_the_locked_one_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(installation.FOLDER_VARIABLE, str(tmp_path))
    locked = json.loads((installation.HERE / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    for name, version in locked[""]["dependencies"].items():
        assert locked[f"node_modules/{name}"]["version"] == version
        package = tmp_path / "node_modules" / name
        package.mkdir(parents=True)
        (package / "package.json").write_text(json.dumps({"version": version}), encoding="utf-8")
    assert not [command for command in installation.missing() if "npm" in command]
    (tmp_path / "node_modules" / installation.PACKAGE / "package.json").write_text('{"version": "0.1.0"}')
    assert [command for command in installation.missing() if "npm" in command]
