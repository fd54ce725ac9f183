"""The target that a text names, in a store with real files behind its artifacts."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from ml_metadata.proto import metadata_store_pb2

from pipeline.lineage import target as lineage_target
from pipeline.lineage.target import OK, TAMPERED, WARNING, Target, TargetError, find_by_name, resolve
from pipeline.run import record as run_record
from pipeline.store.connection import connect
from pipeline.store.reader import Reader
from tests import many_runs
from tests.pipeline.store.test_runs import begin

CONTENT = b"TFL3 a model"


def put(store: Any, url: str, kind: str, uri: Path, **facts: Any) -> int:
    """An artifact, indexed by content as the runner does it."""
    type_id = store.put_artifact_type(metadata_store_pb2.ArtifactType(name=kind))
    artifact = metadata_store_pb2.Artifact(
        type_id=type_id, uri=str(uri), state=metadata_store_pb2.Artifact.LIVE
    )
    run_record.set_facts(artifact, facts)
    (artifact.id,) = store.put_artifacts([artifact])
    begin_once(url).outputs(Reader(store).artifacts([artifact.id]))
    return artifact.id


_records: dict[str, run_record.RunRecord] = {}


def begin_once(url: str) -> run_record.RunRecord:
    if url not in _records:
        _records[url] = begin(url)
    return _records[url]


class Store:
    """A converted model, and the version that was pushed of it."""

    def __init__(self, root: Path):
        self.url = f"sqlite:///{root}/metadata.sqlite"
        begin_once(self.url)
        self.store = connect(self.url, write=True)
        self.model_folder = root / "convert" / "model" / "8"
        self.version = root / "serving" / "1700000001"
        for folder in (self.model_folder / "Format-Serving", self.version):
            folder.mkdir(parents=True)
            (folder / "tflite").write_bytes(CONTENT)
        digest = hashlib.sha256(CONTENT).hexdigest()
        self.model = put(
            self.store, self.url, "Model", self.model_folder,
            files=json.dumps({"Format-Serving/tflite": digest}),
        )  # fmt: skip
        self.pushed = put(
            self.store, self.url, "PushedModel", root / "Pusher" / "pushed_model" / "9",
            pushed=1, pushed_destination=str(self.version), files=json.dumps({"tflite": digest}),
        )  # fmt: skip

    def resolve(self, text: Any) -> Target:
        return resolve(Reader(self.store), str(text))


@pytest.fixture
def made(tmp_path: Path) -> Store:
    return Store(tmp_path)


def kinds(target: Target) -> list[str]:
    return [note.kind for note in target.notes]


def test_a_pushed_folder_its_parent_and_its_file_are_the_push(made: Store) -> None:
    for path in (made.version, made.version.parent, made.version / "tflite"):
        target = made.resolve(path)
        assert target.artifacts == (made.pushed,)
        assert kinds(target) == [OK] and not target.tampered()
        assert target.notes[0].text == f"1 file of {made.version} as recorded (SHA-256)"


def test_a_push_is_held_against_what_was_judged_not_what_was_pushed(made: Store) -> None:
    version = made.version.parent / "1700000002"
    version.mkdir()
    (version / "tflite").write_bytes(b"another")
    hashes = {
        name: json.dumps({"tflite": hashlib.sha256(content).hexdigest()})
        for name, content in (("files", b"another"), ("judged", CONTENT))
    }
    put(made.store, made.url, "PushedModel", made.version.parent / "9",
        pushed=1, pushed_destination=str(version), **hashes)  # fmt: skip
    target = made.resolve(version)
    assert kinds(target) == [TAMPERED]
    assert f"judged was {hashlib.sha256(CONTENT).hexdigest()[:12]}…" in target.notes[0].text
    (version / "tflite").write_bytes(CONTENT)
    assert made.resolve(version).notes[0].text == f"1 file of {version} as judged (SHA-256)"


def test_the_newest_version_counts(made: Store) -> None:
    older = made.version.parent / "999"
    older.mkdir()
    (older / "tflite").write_bytes(b"older")
    assert made.resolve(made.version.parent).artifacts == (made.pushed,)


def test_a_changed_pushed_file_is_noticed(made: Store) -> None:
    (made.version / "tflite").write_bytes(CONTENT + b".")
    now = hashlib.sha256(CONTENT + b".").hexdigest()
    for path in (made.version, made.version / "tflite"):
        target = made.resolve(path)
        assert target.artifacts == (made.pushed,) and target.tampered()
        (note,) = target.notes
        assert note.kind == TAMPERED
        assert note.text == (
            f"{made.version}/tflite was changed: its SHA-256 is {now[:12]}…, recorded was "
            f"{hashlib.sha256(CONTENT).hexdigest()[:12]}…"
        )


def test_a_missing_and_an_added_file_are_noticed(made: Store) -> None:
    (made.version / "tflite").rename(made.version / "other")
    notes = made.resolve(made.version).notes
    assert [note.kind for note in notes] == [TAMPERED, TAMPERED]
    assert notes[0].text == f"{made.version}/tflite is missing"
    assert notes[1].text == f"{made.version}/other was added: it is not in the record"


def test_a_copy_is_found_by_its_content(made: Store, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere.bin"
    copy.write_bytes(CONTENT)
    target = made.resolve(copy)
    assert target.artifacts == (made.model,)
    assert target.notes[0].text.startswith(f"{copy} has the content of artifact {made.model}, ")
    assert target.notes[1].text == f"the same content is also in: {made.pushed}"


def test_an_artifacts_own_folder_and_its_content(made: Store) -> None:
    file = made.model_folder / "Format-Serving" / "tflite"
    for path in (made.model_folder, file):
        assert made.resolve(path).artifacts == (made.model,)
    file.write_bytes(b"changed")
    assert made.resolve(made.model_folder).tampered()


def test_content_that_was_not_made_here_is_refused(made: Store, tmp_path: Path) -> None:
    (tmp_path / "other.tflite").write_bytes(b"other")
    with pytest.raises(TargetError, match="no artifact in this store has a file with this content"):
        made.resolve(tmp_path / "other.tflite")
    (tmp_path / "empty").mkdir()
    with pytest.raises(TargetError, match="has no file in it"):
        made.resolve(tmp_path / "empty")
    with pytest.raises(TargetError, match="does not exist"):
        made.resolve(tmp_path / "missing.tflite")


def test_a_push_without_recorded_hashes_is_held_against_the_artifacts_copy(made: Store) -> None:
    folder = Path(made.store.get_artifacts_by_id([made.pushed])[0].uri)
    (artifact,) = made.store.get_artifacts_by_id([made.pushed])
    del artifact.custom_properties["files"]
    made.store.put_artifacts([artifact])
    assert kinds(made.resolve(made.version)) == [WARNING]
    folder.mkdir(parents=True)
    (folder / "tflite").write_bytes(CONTENT)
    assert kinds(made.resolve(made.version)) == [OK]
    (made.version / "tflite").write_bytes(b"changed")
    assert made.resolve(made.version).tampered()


def test_an_id_is_an_artifact(made: Store) -> None:
    assert made.resolve(made.pushed).artifacts == (made.pushed,)
    with pytest.raises(TargetError, match="no artifact has the id 999"):
        made.resolve(999)


def test_a_push_that_is_named_by_its_id_is_checked_too(made: Store) -> None:
    assert kinds(made.resolve(made.pushed)) == [OK]
    (made.version / "tflite").write_bytes(b"changed")
    assert made.resolve(made.pushed).tampered()
    (made.version / "tflite").unlink()
    made.version.rmdir()
    (note,) = made.resolve(made.pushed).notes
    assert (note.kind, note.text) == (WARNING, f"{made.version} no longer exists")


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    return Reader(many_runs.make(tmp_path_factory.mktemp("many"), 5).store)


def test_a_run_is_its_id_the_beginning_of_one_or_the_latest(many: Reader) -> None:
    for text in ("latest", "2026-01-01T04:00:00+00:00", "2026-01-01T04"):
        target = resolve(many, text)
        assert target.run is not None and target.run.id == "2026-01-01T04:00:00+00:00"
        (pushed,) = many.artifacts(target.artifacts)
        assert pushed.properties["pushed_version"] == "4"


def test_a_beginning_that_fits_several_runs_is_refused(many: Reader) -> None:
    with pytest.raises(TargetError, match=r"5 runs begin with '2026-01', the newest is 2026-01-01T04"):
        find_by_name(many, "2026-01")


def test_an_unknown_name_is_refused_with_the_nearest(many: Reader) -> None:
    with pytest.raises(TargetError, match="did you mean latest"):
        find_by_name(many, "lates")
    with pytest.raises(
        TargetError, match="is not a path, an artifact id or a run; the newest is 2026-01-01T04"
    ):
        find_by_name(many, "nothing like it")


def test_an_empty_store_has_no_latest_run(tmp_path: Path) -> None:
    store = connect(f"sqlite:///{tmp_path}/empty.sqlite", write=True)
    with pytest.raises(TargetError, match="the store has no runs yet"):
        find_by_name(Reader(store), "latest")


def test_a_link_to_a_version_is_the_push_and_its_changes_are_noticed(made: Store, tmp_path: Path) -> None:
    """A copy of the file is found by its content alone, and a changed one not at all."""
    (tmp_path / "current").symlink_to(made.version)
    (tmp_path / "all").symlink_to(made.version.parent)
    (tmp_path / "model").symlink_to(made.version / "tflite")
    for name in ("current", "all", "model", "current/tflite"):
        target = made.resolve(tmp_path / name)
        assert target.artifacts == (made.pushed,) and kinds(target) == [OK]
    (made.version / "tflite").write_bytes(b"changed")
    for name in ("current", "all", "model"):
        assert made.resolve(tmp_path / name).tampered()


def test_an_id_that_no_store_can_have_is_refused(made: Store) -> None:
    with pytest.raises(TargetError, match="no artifact has the id 99999999999999999999"):
        made.resolve("99999999999999999999")


def test_a_path_that_cannot_be_read_is_refused(made: Store, tmp_path: Path, monkeypatch: Any) -> None:
    unreadable = tmp_path / "model.tflite"
    unreadable.write_bytes(CONTENT)

    def refuse(path: Any) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(lineage_target, "file_digest", refuse)  # root may read any file
    with pytest.raises(TargetError, match=r"/model.tflite cannot be read: Permission denied"):
        made.resolve(unreadable)


def test_of_a_folder_with_other_files_the_one_that_is_known_is_named(made: Store, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "app.tflite").write_bytes(CONTENT)
    assert made.resolve(bundle).notes[0].text.startswith(f"{bundle} has the content of artifact")
    (bundle / "about.txt").write_text("something else", encoding="utf-8")
    target = made.resolve(bundle)
    assert target.artifacts == (made.model,)
    assert target.notes[0].text.startswith(
        f"{bundle}/app.tflite has the content of artifact {made.model}, "
    )
