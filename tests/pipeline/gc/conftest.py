"""Stores with real files."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from tests.pipeline.gc.collecting import Lived
from tests.pipeline.run_history import History, dead_process


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "root")


@pytest.fixture
def lived(lived_once: tuple[Path, Lived]) -> Lived:
    """The same for each test, with the files and the store as they were."""
    backup, built = lived_once
    folder = built.history.root.parent
    shutil.rmtree(folder)
    shutil.copytree(backup, folder)
    return dataclasses.replace(built, history=History(built.history.root))


@pytest.fixture(scope="module")
def lived_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Lived]:
    """Four runs: pushed and still there; pushed and gone; killed; one that uses what another made."""
    tmp_path = tmp_path_factory.mktemp("lived") / "project"
    history = History(tmp_path / "root")
    ids: dict[str, int] = {}
    serving = tmp_path / "serving"
    model = {"model": "Model"}

    history.run("run-1")
    ids["examples"] = history.execute("run-1", "ImportExampleGen", {}, {"examples": "Examples"})["examples"]
    trained = history.execute(
        "run-1", "Trainer", {"examples": ids["examples"]}, {**model, "model_run": "ModelRun"}, size=1000
    )
    ids["model-1"], ids["logs-1"] = trained["model"], trained["model_run"]
    ids["tflite-1"] = history.execute("run-1", "convert", {"base_model": ids["model-1"]}, model)["model"]
    ids["pushed-1"] = history.push("run-1", ids["tflite-1"], serving / "101")

    history.run("run-2")
    history.reuse("run-2", "ImportExampleGen", {"examples": ids["examples"]})
    ids["model-2"] = history.execute("run-2", "Trainer", {"examples": ids["examples"]}, model, size=2000)[
        "model"
    ]
    ids["tflite-2"] = history.execute("run-2", "convert", {"base_model": ids["model-2"]}, model, size=30)[
        "model"
    ]
    ids["pushed-2"] = history.push("run-2", ids["tflite-2"], serving / "102", is_there=False)
    ids["vanished"] = history.execute("run-2", "prune", {"base_model": ids["model-2"]}, model)["model"]
    shutil.rmtree(history.folder(ids["vanished"]))
    ids["half-deleted"] = history.execute("run-2", "qat", {"base_model": ids["model-2"]}, model, size=7)[
        "model"
    ]
    history.mark(ids["half-deleted"], "DELETED")

    history.run("run-3", status="running", process=dead_process())
    history.reuse("run-3", "ImportExampleGen", {"examples": ids["examples"]})
    history.execute("run-3", "Trainer", {"examples": ids["examples"]}, state="RUNNING")
    killed = max(execution.id for execution in history.store.get_executions())
    leftovers = {
        "output": history.root / "Trainer" / "model" / str(killed),
        "executor": history.root / "Trainer" / ".system" / "executor_execution" / str(killed),
        "stateful": history.root / "Trainer" / ".system" / "stateful_working_dir" / "4d1c-uuid",
    }
    for folder in leftovers.values():
        (folder / "variables").mkdir(parents=True)
        (folder / "variables" / "half").write_bytes(b"x" * 11)
    (history.root / "Trainer" / ".system" / "executor_execution" / "1").mkdir()

    history.run("run-4")
    history.reuse("run-4", "ImportExampleGen", {"examples": ids["examples"]})
    history.reuse("run-4", "Trainer", {"model": ids["model-2"]}, {"examples": ids["examples"]})
    ids["tflite-4"] = history.execute("run-4", "convert", {"base_model": ids["model-2"]}, model)["model"]

    for name in ("logs/20261122-084919.log", "reports/run-1.html", "reports/run-3.html", "notes/mine.txt"):
        (history.root / name).parent.mkdir(exist_ok=True)
        (history.root / name).write_text("keep me")
    backup = tmp_path.with_name("backup")
    shutil.copytree(tmp_path, backup)
    return backup, Lived(history, ids, leftovers)
