"""What `paredown gc` removes and what it does not, on stores with real files."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shutil
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from ml_metadata.proto import metadata_store_pb2
from rich.console import Console

from pipeline.base.process import this_process
from pipeline.gc import garbage
from pipeline.gc import removal as garbage_removal
from pipeline.gc import table as garbage_table
from pipeline.gc.needs import GarbageError, KeepRules
from pipeline.run import lock as run_lock
from pipeline.store.connection import connect
from pipeline.store.reader import Reader
from tests.pipeline.run_history import History, dead_process

LAST_ONE = KeepRules(last=1)
NONE = KeepRules(last=0)


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "root")


def plan(history: History, rules: KeepRules = NONE) -> garbage.Plan:
    return garbage.plan(history.reader, rules, str(history.database))


def remove(history: History, rules: KeepRules = NONE) -> garbage_removal.Removal:
    return garbage_removal.remove(history.reader, history.store, rules, str(history.database))


def artifacts(found: garbage.Plan) -> set[int]:
    return {item.artifact for item in found.removed if item.artifact is not None}


def files(root: Path) -> set[str]:
    """Files below a root, without those of the store and the lock."""
    found = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    return {path for path in found if not path.startswith(("metadata.sqlite", "run.lock"))}


def rendered(removal: Any, each: bool = False) -> str:
    stream = io.StringIO()
    garbage_table.show(Console(file=stream, width=160, color_system=None), removal, each)
    return stream.getvalue()


@dataclasses.dataclass
class Lived:
    """A store that much has happened to, and what is in it by name."""

    history: History
    ids: dict[str, int]
    leftovers: dict[str, Path]


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


# The scenario


def test_exactly_what_nobody_needs_goes(lived: Lived) -> None:
    history, ids = lived.history, lived.ids
    gone = {"tflite-2", "pushed-2"}
    folders = {str(history.folder(ids[name])) for name in gone | {"half-deleted"}}
    folders |= {str(folder) for folder in lived.leftovers.values()}
    before = files(history.root)
    expected = {
        path for path in before if not any(str(history.root / path).startswith(f"{f}/") for f in folders)
    }
    assert len(before) - len(expected) == 6

    removal = remove(history, LAST_ONE)

    assert {item.path for item in removal.plan.removed if item.path} == folders
    assert artifacts(removal.plan) == {ids[name] for name in gone | {"vanished"}}
    assert removal.failures == {}
    assert files(history.root) == expected
    states = {name: history.state(i) for name, i in ids.items()}
    deleted = gone | {"vanished", "half-deleted"}
    assert states == {name: "DELETED" if name in deleted else "LIVE" for name in ids}
    assert removal.plan.removed_bytes == 30 + 100 + 7 + 3 * 11


def test_what_stays_is_named_with_its_reason(lived: Lived) -> None:
    ids = lived.ids
    kept = {kept.why: kept for kept in plan(lived.history, LAST_ONE).kept}
    assert list(kept) == [
        f"pushed to {lived.history.root.parent}/serving/101",
        "run is one of the last 1 of small",
    ]
    pushed, last = kept.values()
    assert (pushed.run, last.run) == ("run-1", "run-4")
    upstream = {"pushed-1", "tflite-1", "model-1", "logs-1", "examples"}
    assert set(pushed.artifacts) == {ids[name] for name in upstream}
    assert set(last.artifacts) == {ids["model-2"], ids["tflite-4"]}
    assert (pushed.bytes, last.bytes) == (100 + 100 + 1000 + 1000 + 100, 2000 + 100)


def test_a_plan_writes_nothing(lived: Lived) -> None:
    before = files(lived.history.root), {name: lived.history.state(i) for name, i in lived.ids.items()}
    stamp = os.stat(lived.history.database).st_mtime_ns
    readonly = Reader.open(f"sqlite:///{lived.history.database}")
    assert garbage.plan(readonly, LAST_ONE, str(lived.history.database)).removed
    assert before == (
        files(lived.history.root),
        {name: lived.history.state(i) for name, i in lived.ids.items()},
    )
    assert os.stat(lived.history.database).st_mtime_ns == stamp
    assert not (lived.history.root / "run.lock").exists()


def test_a_second_collection_removes_nothing_and_the_store_stays_readable(lived: Lived) -> None:
    known = [(run.id, run.status) for run in lived.history.reader.runs()]
    remove(lived.history, LAST_ONE)
    left = files(lived.history.root)
    again = remove(lived.history, LAST_ONE)
    assert again.plan.removed == () and again.plan.notes == ()
    assert files(lived.history.root) == left
    opened = connect(f"sqlite:///{lived.history.database}")
    assert [(run.id, run.status) for run in Reader(opened).runs()] == known
    assert [status for _, status in known] == ["pushed", "interrupted", "pushed", "pushed"]
    assert len(opened.get_artifacts()) == len(lived.ids)


def test_without_a_push_or_a_kept_run_everything_goes_that_a_run_made(lived: Lived) -> None:
    shutil.rmtree(lived.history.root.parent / "serving" / "101")
    remove(lived.history, NONE)
    assert files(lived.history.root) == {
        "logs/20261122-084919.log", "reports/run-1.html", "reports/run-3.html", "notes/mine.txt",
    }  # fmt: skip


# When it is stopped midway


def test_stopped_midway_nothing_claims_to_be_there_that_is_not(
    lived: Lived, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(lived.history.root.parent / "serving" / "101")
    real, removed = shutil.rmtree, []

    def interrupted(path: str) -> None:
        if len(removed) == 3:
            raise KeyboardInterrupt
        removed.append(path)
        real(path)

    monkeypatch.setattr(garbage_removal.shutil, "rmtree", interrupted)
    with pytest.raises(KeyboardInterrupt):
        remove(lived.history, NONE)
    for artifact in lived.history.store.get_artifacts():
        assert artifact.state == artifact.DELETED or os.path.isdir(artifact.uri)
    monkeypatch.undo()

    rest = remove(lived.history, NONE)
    assert {item.kind for item in rest.plan.removed} == {"leftover"}
    assert "a collection that did not end left it" in {item.why for item in rest.plan.removed}
    assert not [
        path for path in files(lived.history.root) if path.startswith(("Trainer", "convert", "qat"))
    ]


def test_a_folder_that_cannot_be_removed_is_told_and_tried_again(
    lived: Lived, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = str(lived.history.folder(lived.ids["tflite-2"]))
    real = shutil.rmtree

    def refusing(path: str) -> None:
        if path == stuck:
            raise PermissionError(13, "Permission denied", path)
        real(path)

    monkeypatch.setattr(garbage_removal.shutil, "rmtree", refusing)
    removal = remove(lived.history, LAST_ONE)
    assert removal.failures == {stuck: "Permission denied"}
    assert f"{stuck} could not be removed: Permission denied" in rendered(removal)
    assert "140 B in 5 folders removed" in rendered(removal)
    monkeypatch.undo()
    assert [item.path for item in remove(lived.history, LAST_ONE).plan.removed] == [stuck]
    assert not os.path.exists(stuck)


# Runs that go on


def test_nothing_is_removed_while_a_run_holds_the_root(lived: Lived) -> None:
    before = files(lived.history.root)
    with run_lock.hold(lived.history.root) as held:
        assert held
        with pytest.raises(
            GarbageError, match=f"a run is using {lived.history.root}; try again when it has ended"
        ):
            remove(lived.history, LAST_ONE)
    assert files(lived.history.root) == before
    assert lived.history.state(lived.ids["tflite-2"]) == "LIVE"
    assert remove(lived.history, LAST_ONE).plan.removed


def test_a_run_cannot_begin_meanwhile(lived: Lived, monkeypatch: pytest.MonkeyPatch) -> None:
    held = []

    def look(path: str) -> None:
        with run_lock.hold(lived.history.root) as free:
            held.append(free)

    monkeypatch.setattr(garbage_removal.shutil, "rmtree", look)
    remove(lived.history, LAST_ONE)
    assert held == [False] * 6


@pytest.mark.parametrize(
    ("host", "why"),
    [("", "run is going on"), ("elsewhere", "run may be going on, on another machine")],
)
def test_what_a_run_that_may_go_on_uses_stays(history: History, host: str, why: str) -> None:
    history.run("run-1")
    old = history.execute("run-1", "Trainer", {}, {"model": "Model"})["model"]
    unused = history.execute("run-1", "prune", {"base_model": old}, {"model": "Model"})["model"]
    process = dataclasses.replace(this_process(), host=host or this_process().host)
    history.run("run-2", status="running", process=process)
    history.reuse("run-2", "Trainer", {"model": old})
    history.execute("run-2", "convert", {"base_model": old}, state="RUNNING")
    begun = max(execution.id for execution in history.store.get_executions())
    for folder in (f"convert/model/{begun}", f"convert/.system/executor_execution/{begun}"):
        (history.root / folder).mkdir(parents=True)
        (history.root / folder / "half").write_bytes(b"x")
    found = plan(history)
    assert artifacts(found) == {unused}
    assert {item.kind for item in found.removed} == {"artifact"}
    assert [(kept.why, kept.artifacts) for kept in found.kept] == [(why, (old,))]


# Which runs are kept


@pytest.fixture
def runs(history: History) -> dict[str, int]:
    """Five runs with a model of their own: run id → model."""
    return {
        name: history.execute(history.run(name), "Trainer", {}, {"model": "Model"})["model"]
        for name in ("run-1", "run-2", "run-3", "run-4", "run-5")
    }


def test_the_last_runs_are_kept_three_unless_said_otherwise(history: History, runs: dict[str, int]) -> None:
    assert artifacts(plan(history, KeepRules())) == {runs["run-1"], runs["run-2"]}
    assert artifacts(plan(history, KeepRules(last=4))) == {runs["run-1"]}
    assert artifacts(plan(history, KeepRules(last=0))) == set(runs.values())


def test_named_runs_and_those_since_a_time_are_kept(history: History, runs: dict[str, int]) -> None:
    named = KeepRules(last=1, runs=("run-2",))
    assert artifacts(plan(history, named)) == {runs["run-1"], runs["run-3"], runs["run-4"]}
    started = {run.id: run.started for run in history.reader.runs()}
    since = KeepRules(last=0, since=started["run-3"])
    expected = {runs[name] for name, at in started.items() if at < started["run-3"]}
    assert artifacts(plan(history, since)) == expected
    late = KeepRules(last=0, since=datetime(2999, 1, 1, tzinfo=timezone.utc))
    assert artifacts(plan(history, late)) == set(runs.values())


def test_a_run_that_is_not_there_is_refused(history: History, runs: dict[str, int]) -> None:
    with pytest.raises(GarbageError) as refused:
        plan(history, KeepRules(runs=("run-1", "run-33")))
    assert str(refused.value) == (
        "there is no run 'run-33'; did you mean 'run-3'?; `paredown runs` lists them"
    )


def test_runs_are_counted_for_each_pipeline_of_a_store(history: History, tmp_path: Path) -> None:
    other = History(tmp_path / "other", pipeline="other", store=history.store)
    made = {}
    for name in ("run-1", "run-2"):
        made[f"small {name}"] = history.execute(history.run(name), "Trainer", {}, {"model": "Model"})[
            "model"
        ]
    for name in ("run-3", "run-4"):
        made[f"other {name}"] = other.execute(other.run(name), "Trainer", {}, {"model": "Model"})["model"]
    assert artifacts(plan(history, LAST_ONE)) == {made["small run-1"], made["other run-3"]}
    only = KeepRules(last=1, pipeline="other")
    assert artifacts(plan(history, only)) == {made["other run-3"]}
    assert plan(history, only).roots == (str(other.root),)
    removal = remove(history, only)
    assert not (other.root / "Trainer" / "model" / "3").exists()
    assert removal.plan.notes == ()
    assert history.folder(made["small run-1"]).exists()


def test_runs_from_before_records_are_kept_and_collected_alike(history: History) -> None:
    made = [
        history.execute(history.run(name, status=None), "convert", {}, {"model": "Model"})["model"]
        for name in ("run-1", "run-2")
    ]
    assert artifacts(plan(history, LAST_ONE)) == {made[0]}


# What is never touched


def test_links_are_neither_followed_nor_removed(history: History, tmp_path: Path) -> None:
    history.run("run-1")
    moved = history.execute("run-1", "Trainer", {}, {"model": "Model"})["model"]
    linked = history.execute("run-1", "convert", {}, {"model": "Model"})["model"]
    with_link = history.execute("run-1", "prune", {}, {"model": "Model"})["model"]
    (tmp_path / "disk").mkdir()
    (history.root / "Trainer").rename(tmp_path / "disk" / "Trainer")
    (history.root / "Trainer").symlink_to(tmp_path / "disk" / "Trainer")
    history.folder(linked).rename(tmp_path / "disk" / "convert")
    history.folder(linked).symlink_to(tmp_path / "disk" / "convert")
    precious = tmp_path / "disk" / "precious"
    precious.mkdir()
    (precious / "file").write_text("mine")
    (history.folder(with_link) / "link").symlink_to(precious)

    removal = remove(history)
    assert artifacts(removal.plan) == {with_link}
    assert not history.folder(with_link).exists()
    assert (precious / "file").read_text() == "mine"
    assert (tmp_path / "disk" / "convert" / "data").exists()
    assert list((tmp_path / "disk" / "Trainer").rglob("data"))
    assert {history.state(moved), history.state(linked)} == {"LIVE"}
    assert removal.plan.notes == (f"symbolic links below {history.root}: left alone, 2 in all",)


def test_a_root_that_is_itself_a_link_is_collected(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "disk")
    history = History(tmp_path / "root")
    model = history.execute(history.run("run-1"), "Trainer", {}, {"model": "Model"})["model"]
    remove(history)
    assert history.state(model) == "DELETED"
    assert not (tmp_path / "disk" / "Trainer" / "model").exists()


def test_a_root_that_was_written_in_two_ways_is_one_root(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "disk")
    history = History(tmp_path / "root")
    through_link = history.execute(history.run("run-1"), "Trainer", {}, {"model": "Model"})["model"]
    direct = History(tmp_path / "disk", store=history.store)
    plain = direct.execute(direct.run("run-2"), "Trainer", {}, {"model": "Model"})["model"]
    (tmp_path / "disk" / "Trainer" / "model_run" / str(1)).mkdir(parents=True)

    found = plan(direct, LAST_ONE)
    assert [(item.kind, item.path) for item in found.removed] == [
        ("artifact", str(tmp_path / "root" / "Trainer" / "model" / "1")),
        ("leftover", str(tmp_path / "disk" / "Trainer" / "model_run" / "1")),
    ]
    assert found.roots == (str(tmp_path / "disk"),)
    removal = remove(direct, LAST_ONE)
    assert removal.failures == {}
    assert (history.state(through_link), history.state(plain)) == ("DELETED", "LIVE")
    assert direct.folder(plain).exists()


def test_what_does_not_stand_where_tfx_puts_things_is_left_alone(history: History, tmp_path: Path) -> None:
    history.run("run-1")
    made = history.execute("run-1", "Trainer", {}, {"model": "Model"})["model"]
    imported = tmp_path / "Trainer" / "model" / "pretrained"
    imported.parent.mkdir(parents=True)
    history.folder(made).rename(imported)
    artifact = history.artifact(made)
    artifact.uri = str(imported)
    history.store.put_artifacts([artifact])
    assert plan(history).removed == ()
    assert plan(history).notes == ("artifacts that are not in a folder of TFX's: left alone, 1 in all",)
    for uri in (
        "gs://bucket/root/Trainer/model/1",
        f"{history.root}/x/../Trainer/model/1",
        "/Trainer/model/1",
    ):
        artifact.uri = uri
        history.store.put_artifacts([artifact])
        assert plan(history).removed == (), uri
    assert (imported / "data").exists()


def test_folders_of_no_known_execution_are_left_alone(history: History) -> None:
    history.run("run-1")
    history.execute("run-1", "Trainer", {}, {"model": "Model"})
    history.execute("run-1", "convert", {}, {"model": "Model"})
    kept = ["Trainer/model/99", "Trainer/model/2", "Trainer/model/v1", "photos/2026/1", "Trainer/plots"]
    for name in kept:
        (history.root / name).mkdir(parents=True)
        (history.root / name / "file").write_text("mine")
    remove(history)
    assert files(history.root) == {f"{name}/file" for name in kept}


def test_a_store_that_was_copied_does_not_reach_into_the_root_of_the_other(
    history: History, tmp_path: Path
) -> None:
    history.execute(history.run("run-1"), "Trainer", {}, {"model": "Model"})
    copy = tmp_path / "copy.sqlite"
    shutil.copy(history.database, copy)
    found = garbage.plan(Reader.open(f"sqlite:///{copy}"), NONE, str(copy))
    assert found.removed == ()
    assert found.notes == (
        f"{history.root} has another metadata store, metadata.sqlite; remove that file if it is not used any more: "
        "left alone, 1 in all",
    )
    assert garbage.plan(Reader.open(f"sqlite:///{copy}"), NONE, None).removed == ()


def test_pipelines_of_others_are_left_alone(history: History, tmp_path: Path) -> None:
    other = History(tmp_path / "other", pipeline="taxi", store=history.store)
    other.execute(other.run("run-1", status=None), "Trainer", {}, {"model": "Model"})
    assert plan(history).removed == ()
    assert plan(history).notes == (
        "artifacts of taxi, which is not a pipeline of Paredown's: left alone, 1 in all",
    )


def test_what_an_execution_of_no_run_uses_stays(history: History) -> None:
    model = history.execute(history.run("run-1"), "Trainer", {}, {"model": "Model"})["model"]
    kind = history.store.put_execution_type(metadata_store_pb2.ExecutionType(name="notebook"))
    (execution,) = history.store.put_executions([metadata_store_pb2.Execution(type_id=kind)])
    event = metadata_store_pb2.Event(artifact_id=model, execution_id=execution)
    event.type = event.INPUT
    history.store.put_events([event])
    found = plan(history)
    assert found.removed == ()
    assert [(kept.why, kept.artifacts) for kept in found.kept] == [("used outside of any run", (model,))]


@pytest.mark.parametrize("how", ["pushed", "push directory", "data"])
def test_a_folder_with_something_in_it_that_others_read_stays(history: History, how: str) -> None:
    history.run("run-1")
    model = history.execute("run-1", "Trainer", {}, {"model": "Model"})["model"]
    within = history.folder(model) / "Split-train"
    if how == "pushed":
        history.push("run-1", model, within / "1")
        shutil.rmtree(within)  # so that it is no reason to keep all that it was made from
    elif how == "push directory":
        destination = json.dumps({"filesystem": {"base_directory": str(within)}})
        history.execute("run-1", "Pusher", {}, parameters={"push_destination": destination})
    else:
        history.execute("run-1", "ImportExampleGen", {}, parameters={"input_base": str(within)})
    found = plan(history)
    assert model not in artifacts(found)
    assert found.notes == (
        "folders that overlap with something pushed, read as data or needed: left alone, 1 in all",
    )


def test_what_is_on_another_machine_is_not_taken_for_gone(history: History, tmp_path: Path) -> None:
    elsewhere = dataclasses.replace(this_process(), host="elsewhere")
    history.run("run-1", process=elsewhere)
    model = history.execute("run-1", "Trainer", {}, {"model": "Model"})["model"]
    unused = history.execute("run-1", "prune", {"base_model": model}, {"model": "Model"})["model"]
    pushed = history.push("run-1", model, tmp_path / "serving" / "1", is_there=False)
    shutil.rmtree(history.folder(unused))
    found = plan(history)
    assert found.removed == ()
    assert {i for kept in found.kept for i in kept.artifacts} == {model, pushed}
    assert found.notes == ("artifacts that were made on another machine: left alone, 1 in all",)


def test_a_root_that_is_not_here_is_left_alone(history: History, tmp_path: Path) -> None:
    other = History(tmp_path / "other", pipeline="other", store=history.store)
    model = other.execute(other.run("run-1"), "Trainer", {}, {"model": "Model"})["model"]
    shutil.rmtree(other.root)
    assert plan(history).removed == ()
    assert plan(history).notes == (f"{other.root} is not on this machine: left alone, 1 in all",)
    assert history.state(model) == "LIVE"


# What TFX makes of it


@pytest.mark.tf
def test_tfx_takes_what_was_kept_from_its_cache_and_runs_again_what_was_not(lived: Lived) -> None:
    from tfx.orchestration import metadata
    from tfx.orchestration.portable import cache_utils

    history, ids = lived.history, lived.ids

    kind = metadata_store_pb2.ContextType(name="execution_cache")
    key_type = history.store.put_context_type(kind)

    def cached(name: str) -> Any:
        """What TFX finds for the cache key of the execution that made an artifact."""
        (event, *_) = history.store.get_events_by_artifact_ids([ids[name]])
        key = metadata_store_pb2.Context(type_id=key_type, name=f"key of {name}")
        with metadata.Metadata(metadata.sqlite_metadata_connection_config(str(history.database))) as handle:
            found = handle.store.get_context_by_type_and_name("execution_cache", key.name)
            if found is None:
                (key.id,) = handle.store.put_contexts([key])
                association = metadata_store_pb2.Association(
                    execution_id=event.execution_id, context_id=key.id
                )
                handle.store.put_attributions_and_associations([], [association])
            return cache_utils.get_cached_outputs(handle, found or key)

    assert cached("tflite-2")["model"][0].uri == str(history.folder(ids["tflite-2"]))
    remove(history, LAST_ONE)
    assert cached("tflite-2") is None
    assert cached("half-deleted") is None
    assert {key: value[0].id for key, value in cached("model-1").items()} == {
        "model": ids["model-1"],
        "model_run": ids["logs-1"],
    }


def test_a_value_artifact_goes_with_its_folder(history: History) -> None:
    made = history.execute(history.run("run-1"), "Trainer", {}, {"steps": "Integer"}, size=3)["steps"]
    folder = history.folder(made)
    (folder / "data").rename(folder / "value")
    artifact = history.artifact(made)
    artifact.uri = f"{folder}/value"
    history.store.put_artifacts([artifact])
    removal = remove(history)
    assert [(item.path, item.bytes) for item in removal.plan.removed] == [(str(folder), 3)]
    assert not folder.exists()


@pytest.mark.parametrize("moved", [True, False], ids=["moved", "copied"])
def test_a_root_that_was_moved_or_copied_with_its_store_keeps_its_files(
    history: History, tmp_path: Path, moved: bool
) -> None:
    """The store tells the folders by their old paths, so that none here is known to be an artifact's."""
    history.run("run-1")
    model = history.execute("run-1", "convert", {}, {"model": "Model"})["model"]
    history.push("run-1", model, tmp_path / "serving" / "101")
    unfinished = history.root / "convert" / "model" / "2"
    history.execute("run-1", "convert", state="FAILED")
    assert max(execution.id for execution in history.store.get_executions()) == 3
    unfinished = unfinished.with_name("3")
    unfinished.mkdir()
    (unfinished / "half").write_bytes(b"x")
    other = History(Path((shutil.move if moved else shutil.copytree)(history.root, tmp_path / "other")))
    before = files(other.root)
    removal = remove(other, LAST_ONE)
    assert [item.path for item in removal.plan.removed] == [str(other.root / "convert" / "model" / "3")]
    assert files(other.root) == before - {"convert/model/3/half"}
    assert (
        f"folders in {other.root} that the store knows at another place: left alone, 2 in all"
        in removal.plan.notes
    )


def test_a_root_that_cannot_be_written_to_is_refused(lived: Lived) -> None:
    before = files(lived.history.root)
    lock = lived.history.root / "run.lock"
    lock.unlink(missing_ok=True)
    lock.mkdir()  # which not even root can open for writing
    with pytest.raises(
        GarbageError,
        match=r"/run.lock, which keeps two runs apart, cannot be written: Is a directory; move",
    ):
        remove(lived.history, LAST_ONE)
    assert files(lived.history.root) == before


# What is shown


def test_the_table_says_what_goes_and_what_stays(lived: Lived) -> None:
    lines = [" ".join(line.split()) for line in rendered(plan(lived.history, LAST_ONE)).splitlines()]
    assert "Would be removed" in lines
    assert "1 Model, 1 PushedModel run-2 130 B no pushed model and no kept run needs it" in lines
    assert "Model of prune run-2 0 B its files are gone already" in lines
    assert "Model of qat run-2 7 B a collection that did not end left it" in lines
    assert f"5 artifacts run-1 2.3 kB pushed to {lived.history.root.parent}/serving/101" in lines
    assert lines[-1] == (
        "170 B in 6 folders would be removed, 4.4 kB kept; nothing was removed. Add --delete to do it."
    )
    each = rendered(plan(lived.history, LAST_ONE), each=True)
    assert "unfinished model of Trainer" in each and "PushedModel of Pusher" in each
    removed = rendered(remove(lived.history, LAST_ONE))
    assert removed.splitlines()[-1] == "170 B in 6 folders removed, 4.4 kB kept."
    assert rendered(plan(lived.history, LAST_ONE)).splitlines()[-1] == "Nothing to remove; 4.4 kB kept."


def test_json_holds_the_same(lived: Lived) -> None:
    told = json.loads(json.dumps(garbage_table.to_json(plan(lived.history, LAST_ONE))))
    assert told["deleted"] is False
    assert told["removed_bytes"] == 170 and told["kept_bytes"] == 4400
    assert sum(item["bytes"] for item in told["removed"]) == 170
    assert {item["artifact"] for item in told["removed"]} == {
        None, *(lived.ids[name] for name in ("tflite-2", "pushed-2", "vanished")),
    }  # fmt: skip
    assert garbage_table.to_json(remove(lived.history, LAST_ONE))["deleted"] is True
