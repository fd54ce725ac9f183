"""What is not of a run of this store is neither removed nor taken for gone."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
from ml_metadata.proto import metadata_store_pb2

from pipeline.base.process import this_process
from pipeline.gc import garbage
from pipeline.store.reader import Reader
from tests.pipeline.gc.collecting import LAST_ONE, NONE, artifacts, files, plan, remove
from tests.pipeline.run_history import History


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


def test_artifacts_outside_of_tfxs_folders_are_left_alone(history: History, tmp_path: Path) -> None:
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
        f"{history.root} has another metadata store, metadata.sqlite; remove that file if it is no longer used: "
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
        shutil.rmtree(within)  # so that it is not a reason to keep all that it was made from
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
    """The store knows the folders by their old paths, so none here is known to be an artifact's."""
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
