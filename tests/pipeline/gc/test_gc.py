"""What `paredown gc` removes and what it does not, on a store with real files and a long history."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from typing import Any

import pytest
from ml_metadata.proto import metadata_store_pb2

from pipeline.base.process import this_process
from pipeline.gc import garbage
from pipeline.gc import removal as garbage_removal
from pipeline.gc import table as garbage_table
from pipeline.gc.needs import GarbageError
from pipeline.run import lock as run_lock
from pipeline.store.connection import connect
from pipeline.store.reader import Reader
from tests.pipeline.gc.collecting import LAST_ONE, NONE, Lived, artifacts, files, plan, remove, rendered
from tests.pipeline.run_history import History


def test_exactly_the_unneeded_files_are_removed(lived: Lived) -> None:
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
    assert "left by a collection that did not end" in {item.why for item in rest.plan.removed}
    assert not [
        path for path in files(lived.history.root) if path.startswith(("Trainer", "convert", "qat"))
    ]


def test_a_folder_that_cannot_be_removed_is_reported_and_tried_again(
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
    [("", "run is in progress"), ("elsewhere", "run may be in progress on another machine")],
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
    assert "Model of qat run-2 7 B left by a collection that did not end" in lines
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
    reported = json.loads(json.dumps(garbage_table.to_json(plan(lived.history, LAST_ONE))))
    assert reported["deleted"] is False
    assert reported["removed_bytes"] == 170 and reported["kept_bytes"] == 4400
    assert sum(item["bytes"] for item in reported["removed"]) == 170
    assert {item["artifact"] for item in reported["removed"]} == {
        None, *(lived.ids[name] for name in ("tflite-2", "pushed-2", "vanished")),
    }  # fmt: skip
    assert garbage_table.to_json(remove(lived.history, LAST_ONE))["deleted"] is True
