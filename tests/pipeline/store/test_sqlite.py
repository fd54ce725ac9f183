"""An SQLite file's tables are read as ml_metadata reads them."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct
from google.protobuf.wrappers_pb2 import StringValue
from ml_metadata.proto import metadata_store_pb2

from pipeline.config.metadata_url import StoreError
from pipeline.store.connection import connect, open_tables
from pipeline.store.reader import RUN, Reader
from pipeline.store.sqlite import SqliteStore
from pipeline.store.state import State
from tests import many_runs


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """22 runs that left records, one that left none and has a value of each kind, and one of a notebook."""
    folder = tmp_path_factory.mktemp("many")
    maker = many_runs.make(folder, 22)
    store = maker.store
    kind = store.put_artifact_type(
        metadata_store_pb2.ArtifactType(name="Model", properties={"span": 1}), can_add_fields=True
    )
    artifact = metadata_store_pb2.Artifact(
        type_id=kind, uri=str(folder), state=metadata_store_pb2.Artifact.LIVE
    )
    artifact.properties["span"].int_value = 3
    for name, field, value in (
        ("span", "int_value", -4),
        ("winner", "string_value", "é int8"),
        ("empty", "string_value", ""),
        ("number", "double_value", 0.1),
        ("flag", "bool_value", True),
    ):
        setattr(artifact.custom_properties[name], field, value)
    struct = Struct()
    struct.update({"split": ["train", "eval"]})
    artifact.custom_properties["struct"].struct_value.CopyFrom(struct)
    artifact.custom_properties["proto"].proto_value.Pack(StringValue(value="text"))
    deleted = metadata_store_pb2.Artifact(type_id=kind, state=metadata_store_pb2.Artifact.DELETED)
    states = metadata_store_pb2.Execution.State.values()
    trainer = maker.executions["Trainer"]
    executions = [metadata_store_pb2.Execution(type_id=trainer, last_known_state=s) for s in states]
    notebook = metadata_store_pb2.Execution(type_id=trainer, name="notebook")
    ids = store.put_executions([*executions, notebook])
    artifact_ids = store.put_artifacts([artifact, deleted])
    (run,) = store.put_contexts([metadata_store_pb2.Context(name="2025", type_id=maker.contexts[RUN])])
    store.put_parent_contexts([metadata_store_pb2.ParentContext(child_id=run, parent_id=maker.pipeline)])
    associations = [
        metadata_store_pb2.Association(execution_id=execution, context_id=context)
        for execution in ids[:-1]
        for context in (run, maker.pipeline, maker.nodes["Trainer"])
    ]
    store.put_attributions_and_associations([], associations)
    events = []
    for number, event_type in enumerate(metadata_store_pb2.Event.Type.values()[1:]):
        event = metadata_store_pb2.Event(
            artifact_id=artifact_ids[number % 2], execution_id=ids[number % len(ids)], type=event_type
        )
        if number != 3:
            event.path.steps.add().key = f"key{number}"
            event.path.steps.add().index = number
        events.append(event)
    store.put_events(events)
    return f"sqlite:///{folder}/metadata.sqlite"


def everything(reader: Reader) -> dict[str, Any]:
    """What every method of a reader finds in a whole store."""
    runs = reader.runs()
    artifacts = reader.all_artifacts()
    ids = [artifact.id for artifact in artifacts] + [10**6]
    executions = reader.executions(range(500))
    return {
        "runs": runs,
        "newest": reader.runs(limit=3),
        "chosen": reader.runs(pipeline="nightly", status="pushed", since=runs[5].started, limit=4),
        "run": (reader.run(runs[0].id), reader.run("none"), reader.run_ids(), reader.runs_by_id(["2025"])),
        "records": reader.began_with_records(),
        "documents": reader.documents(runs),
        "executions": executions,
        "ran": reader.executions(range(500), State.RAN),
        "located": [reader.located(execution) for execution in executions[-10:]],
        "of a run": [reader.executions_of_run(run) for run in runs],
        "of a node": reader.executions_of_node("nightly", "Trainer")
        + reader.executions_of_node("no", "no"),
        "of nodes": sorted(reader.executions_of_nodes(), key=lambda one: (one.id, one.node)),
        "edges": (
            reader.edges_of_executions(range(500)),
            sorted(reader.edges_of_artifacts(ids)),
            reader.edges_of_artifacts([]),
        ),
        "artifacts": (artifacts, reader.artifacts(ids[::-3]), reader.artifacts([])),
        "of a type": reader.artifacts_of_type("PushedModel"),
        "at": reader.artifacts_at(artifacts[0].uri),
        "with a file": reader.artifacts_with_file(
            [value for a in artifacts[:40] for value in str(a.properties.get("files")).split('"')]
        ),
    }


def test_the_tables_are_read_as_ml_metadata_reads_them(url: str) -> None:
    tables = open_tables(url)
    assert isinstance(tables, SqliteStore)
    ours, theirs = everything(Reader(tables)), everything(Reader(connect(url)))
    for name, found in theirs.items():
        assert ours[name] == found, name
    assert len(ours["runs"]) == 23 and len(ours["with a file"]) > 3
    assert {execution.state for execution in ours["executions"]} == set(State) - {
        State.SKIPPED, State.PUSHED, State.NONE_PASSED, State.JUDGED,
    }  # fmt: skip
    known = next(a for a in ours["artifacts"][0] if "struct" in a.properties).properties
    assert (known["span"], known["flag"], known["empty"], known["winner"]) == (-4, True, "", "é int8")
    assert list(known["struct"]["split"]) == ["train", "eval"]


def test_tables_of_another_version_are_left_to_ml_metadata(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.sqlite"
    connect(url, write=True)
    with contextlib.closing(sqlite3.connect(tmp_path / "store.sqlite")) as database, database:
        database.execute("UPDATE MLMDEnv SET schema_version = 99")
    assert open_tables(url) is None
    with pytest.raises(StoreError, match="another version of ml-metadata wrote it"):
        Reader.open(url)


def test_a_file_that_is_damaged_while_it_is_read_is_an_error_with_the_fix(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.sqlite"
    connect(url, write=True)
    reader = Reader.open(url)
    with contextlib.closing(sqlite3.connect(tmp_path / "store.sqlite")) as database:
        database.execute("DROP TABLE Context")
    with pytest.raises(StoreError, match=r"store.sqlite cannot be read: no such table: .*; restore a copy"):
        reader.runs()


def test_a_reader_sees_what_is_written_after_it_was_opened(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.sqlite"
    store = connect(url, write=True)
    reader = Reader.open(url)
    assert reader.run_ids() == []
    kind = store.put_context_type(metadata_store_pb2.ContextType(name=RUN))
    store.put_contexts([metadata_store_pb2.Context(type_id=kind, name="now")])
    assert reader.run_ids() == ["now"]


def test_reading_an_sqlite_store_imports_no_ml_metadata(url: str) -> None:
    code = (
        "import sys\nfrom pipeline.store.reader import Reader\nreader = Reader.open(sys.argv[1])\n"
        "print(len(reader.runs()), {'ml_metadata', 'grpc', 'pydantic', 'tensorflow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, url], capture_output=True, text=True, check=True)
    assert done.stdout == "23 set()\n"


def test_a_full_disk_is_named_when_a_store_is_opened(tmp_path: Path) -> None:
    """On a file system of 96 KiB, in a name space of its own, which needs no rights."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    mount += ['mount -t tmpfs -o size=96k tmpfs "$0" && exec "$@"', str(disk)]
    if subprocess.run([*mount, "true"], capture_output=True).returncode:
        pytest.skip(f"this machine does not let a user mount in a name space: {' '.join(mount[:4])} fails")
    code = """
        import sys
        from pathlib import Path
        from pipeline.store.connection import connect
        disk = Path(sys.argv[1])
        for left in (0, 4096, 40_960):
            (disk / "other").write_bytes(b"x" * (96 * 1024 - left))
            try:
                connect(f"sqlite:///{disk}/metadata.sqlite", write=True)
            except Exception as error:
                print(f"{type(error).__name__} {error}")
            for file in disk.iterdir():
                file.unlink()
    """
    done = subprocess.run(
        [*mount, sys.executable, "-c", textwrap.dedent(code), str(disk)], capture_output=True, text=True
    )
    expected = (
        f"StoreError sqlite:///{disk}/metadata.sqlite: the disk is full; free some space, or put the store on "
        "another disk"
    )
    assert done.stdout.splitlines() == [expected] * 3, done.stderr
