"""The review commands on stores that ml_metadata's own API has written, in a process that has no TFX."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from pipeline import cli
from pipeline.lineage import runs_table
from pipeline.store.records import Run
from pipeline.store.state import State
from tests import many_runs

Invoke = Callable[..., Result]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory in which `nightly` ran four times, and a pushed file of the last one."""
    root = tmp_path_factory.mktemp("project")
    many_runs.make(root, 4, ".paredown/nightly/metadata.sqlite")
    pushed = root / "serving" / "3"
    pushed.mkdir(parents=True)
    (pushed / "tflite").write_text("3-prune-convert-int8", encoding="utf-8")
    return root


@pytest.fixture
def invoke(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    monkeypatch.chdir(folder)
    monkeypatch.delenv("PAREDOWN_METADATA", raising=False)
    monkeypatch.setenv("COLUMNS", "160")

    def call(*arguments: str, code: int = 0, env: dict[str, str] | None = None) -> Result:
        result = CliRunner().invoke(cli.main, arguments, env=env)
        assert result.exit_code == code, result.output + str(result.exception)
        return result

    return call


def ids(result: Result) -> list[str]:
    return [run["id"] for run in json.loads(result.stdout)["runs"]]


def test_stores_below_the_working_directory_are_found(invoke: Invoke) -> None:
    assert len(ids(invoke("runs", "--json"))) == 4
    shown = invoke("runs").output
    assert "nightly" in shown and "2026-01-01T03:00:00+00:00" in shown


def test_runs_are_chosen_and_limited(invoke: Invoke) -> None:
    assert ids(invoke("runs", "--json", "--limit", "2")) == [
        "2026-01-01T03:00:00+00:00",
        "2026-01-01T02:00:00+00:00",
    ]
    assert "The newest 2 runs; --limit 0 shows all." in invoke("runs", "--limit", "2").output
    assert ids(invoke("runs", "--json", "--status", "failed")) == []
    assert ids(invoke("runs", "--json", "--config", "other")) == []
    assert invoke("runs", "--config", "other").output == "No such run.\n"
    assert len(ids(invoke("runs", "--json", "--config", "nightly", "--since", "1h"))) == 4


@pytest.mark.parametrize(("columns", "stacked"), [("80", True), ("140", False)])
def test_runs_are_whole_on_a_narrow_terminal(invoke: Invoke, columns: str, stacked: bool) -> None:
    lines = invoke("runs", "--limit", "1", env={"COLUMNS": columns}).output.splitlines()
    assert max(map(len, lines)) <= int(columns)
    words = " ".join(lines).split()
    assert "2026-01-01T03:00:00+00:00" in words and "nightly" in words
    heads = [line.split() for line in lines[: 2 if stacked else 1]]
    assert heads == (
        [["run", "config", "nodes", "winner"], ["status", "hash", "took", "pushed"]]
        if stacked
        else [["run", "config", "hash", "status", "took", "ran", "cached", "failed", "winner", "pushed"]]
    )


def test_the_store_can_be_named(invoke: Invoke, folder: Path, tmp_path: Path) -> None:
    path = folder / ".paredown" / "nightly" / "metadata.sqlite"
    for name in (str(path), f"sqlite:///{path}"):
        assert len(ids(invoke("runs", "--json", "--metadata", name))) == 4
    os.chdir(tmp_path)
    assert len(ids(invoke("runs", "--json", env={"PAREDOWN_METADATA": str(path)}))) == 4


def test_a_store_that_is_not_there_is_refused(invoke: Invoke, tmp_path: Path) -> None:
    missing = invoke("runs", "--metadata", "missing.sqlite", code=2)
    assert missing.stderr == "--metadata: missing.sqlite does not exist, or is empty\n"
    assert "'mysq' is not a kind of metadata store; did you mean mysql://" in (
        invoke("runs", "--metadata", "mysq://a@b/c", code=2).stderr
    )
    os.chdir(tmp_path)
    refused = invoke("lineage", "latest", code=2).stderr
    assert "no metadata store was found below" in refused and "--metadata" in refused


def test_a_config_names_its_store(invoke: Invoke, folder: Path) -> None:
    (folder / "other.yaml").write_text(
        "name: other\n"
        "data: {path: data, label: label}\n"
        "model: {module: model}\n"
        "candidates: {int8: [{convert: {quantization: int8}}]}\n"
        "gate: {accuracy: {metric: SparseCategoricalAccuracy, min: 0.5}}\n"
        "push: {directory: serving}\n",
        encoding="utf-8",
    )
    refused = invoke("runs", "--config", "other.yaml", code=2).stderr
    assert "other.yaml has not been run here yet" in refused
    text = (folder / "other.yaml").read_text(encoding="utf-8").replace("name: other", "name: nightly")
    (folder / "nightly.yaml").write_text(text, encoding="utf-8")
    assert len(ids(invoke("runs", "--json", "--config", "nightly.yaml"))) == 4


def test_a_text_that_is_not_a_time_is_refused(invoke: Invoke) -> None:
    assert "'soon' is not a time: write 2026-11-22" in invoke("runs", "--since", "soon", code=2).stderr


@pytest.mark.parametrize("form", ["tree", "json", "mermaid", "openlineage"])
def test_lineage_has_every_format(invoke: Invoke, form: str) -> None:
    shown = invoke("lineage", "latest", "--format", form).output
    assert "prune-convert-int8" in shown and "ImportExampleGen" in shown
    if form == "json":
        assert {e["node"] for e in json.loads(shown)["executions"]} >= {"Trainer", "Pusher"}


def test_lineage_of_a_pushed_folder_and_of_a_changed_file(invoke: Invoke, folder: Path) -> None:
    assert "1 file of" in invoke("lineage", "serving").output
    file = folder / "serving" / "3" / "tflite"
    content = file.read_text(encoding="utf-8")
    try:
        file.write_text("changed", encoding="utf-8")
        assert "TAMPERED" in invoke("lineage", "serving/3", code=1).output
        assert "TAMPERED" in invoke("lineage", "serving/3", "--format", "mermaid", code=1).stderr
    finally:
        file.write_text(content, encoding="utf-8")


def test_what_the_store_does_not_know_is_refused(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "x.tflite").write_bytes(b"x")
    assert "was not made here" in invoke("lineage", str(tmp_path / "x.tflite"), code=2).stderr
    assert "no artifact has the id 99999" in invoke("lineage", "99999", code=2).stderr
    for command in (["diff", "latest", "2027"], ["report", "2027"], ["gc", "--keep", "2027"]):
        assert "'2027' is not a path, an artifact id or a run" in invoke(*command, code=2).stderr


def test_diff_can_report_by_its_exit_code(invoke: Invoke) -> None:
    first, last = "2026-01-01T00", "2026-01-01T03"
    assert "no difference" in invoke("diff", first, last).output
    compared = json.loads(invoke("diff", first, last, "--json").output)
    assert compared["sections"]["config"]["state"] == "equal"
    assert compared["sections"]["nodes"]["state"] == "different"
    invoke("diff", first, last, "--exit-code", code=1)


def test_a_report_is_written_to_the_given_path(invoke: Invoke, tmp_path: Path) -> None:
    page = tmp_path / "new" / "page.html"
    assert invoke("report", "-o", str(page)).output == f"Written to {page}\n"
    assert "2026-01-01T03:00:00+00:00" in page.read_text(encoding="utf-8")


def test_gc_without_delete_removes_nothing(invoke: Invoke, folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    stores = json.loads(invoke("gc", "--keep-runs", "0", "--json").output)["stores"]
    assert [store["store"] for store in stores] == ["sqlite:///.paredown/nightly/metadata.sqlite"]
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("command", ["runs", "lineage", "diff", "report", "gc"])
def test_help_teaches_by_examples(invoke: Invoke, command: str) -> None:
    shown = invoke(command, "--help").output
    assert f"paredown {command}" in shown and "Exit codes:" in shown and "--metadata" in shown


def test_only_a_record_says_that_a_version_was_pushed_before() -> None:
    run = Run("id", "p", 1, datetime.now(timezone.utc), None, State.PUSHED, pushed="/serving/7")
    shown = [
        Console(width=200).render_str(str(next(iter(runs_table.runs_table([one]).columns[-1].cells))))
        for one in (run, replace(run, pushed_now=True), replace(run, recorded=False))
    ]
    assert [str(text) for text in shown] == ["7 (before)", "7", "7"]


def test_a_collection_makes_no_store_of_another_database(invoke: Invoke, tmp_path: Path) -> None:
    other = tmp_path / "books.sqlite"
    with contextlib.closing(sqlite3.connect(other)) as database:
        database.execute("CREATE TABLE books (title TEXT)")
    before = other.read_bytes()
    refused = invoke("gc", "--delete", "--metadata", str(other), code=2)
    assert "is not an ML Metadata store" in refused.output
    assert other.read_bytes() == before


@pytest.mark.parametrize("name", ["\udcff\udcfe", "a\nb", ""])
def test_a_target_that_no_text_names_is_refused(invoke: Invoke, name: str) -> None:
    for command in (["lineage", name], ["diff", name, "latest"], ["report", name]):
        assert f"{name!r} is not a path, an artifact id or a run" in invoke(*command, code=2).output


def test_a_page_takes_the_place_of_files_only(invoke: Invoke, tmp_path: Path) -> None:
    pipe, page, link = tmp_path / "pipe", tmp_path / "page.html", tmp_path / "link.html"
    os.mkfifo(pipe)
    assert f"{pipe} is not a file" in invoke("report", "-o", str(pipe), code=2).output
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    page.write_text("older", encoding="utf-8")
    link.symlink_to(page)
    invoke("report", "-o", str(link))
    assert link.is_symlink() and page.read_text(encoding="utf-8").startswith("<!DOCTYPE")


@pytest.mark.parametrize("name", ["file/page.html", f"{'x' * 300}.html"])
def test_a_page_that_cannot_be_written_is_refused(invoke: Invoke, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    refused = invoke("report", "-o", str(tmp_path / name), code=2)
    assert f"{name} cannot be written: " in refused.output
    assert os.listdir(tmp_path) == ["file"]


def test_a_long_name_is_a_name(invoke: Invoke, tmp_path: Path) -> None:
    page = tmp_path / f"{'x' * 245}.html"
    invoke("report", "-o", str(page))
    assert page.is_file()


@pytest.mark.parametrize("command", [["runs"], ["lineage", "latest"], ["diff", "latest", "latest"], ["gc"]])
def test_a_terminal_without_unicode_gets_other_characters(folder: Path, command: list[str]) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *command],
        cwd=folder,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": str(Path(cli.__file__).parents[2])},
        capture_output=True,
    )
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.isascii() and shown.stderr == b""
