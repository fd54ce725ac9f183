"""Several who open one new store at the same time."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from ml_metadata.metadata_store import metadata_store

from pipeline.store.connection import connect
from tests.servers.database import Database

pytest_plugins = ["tests.servers.fixtures"]
REPOSITORY = Path(__file__).parents[3]


@pytest.mark.parametrize("server", ["mariadb_server", "postgresql_server"], indirect=True)
def test_three_runs_that_begin_at_once_make_one_store(server: Database) -> None:
    code = """
        import sys
        from pipeline.store.connection import connect
        from ml_metadata.proto import metadata_store_pb2 as pb
        name, *urls = sys.argv[1:]
        for url in urls:
            sys.stdin.readline()
            store = connect(url, write=True)
            kind = store.put_context_type(pb.ContextType(name="run"))
            store.put_contexts([pb.Context(type_id=kind, name=name)])
            print("done", flush=True)
    """
    urls = [server.url(f"race{number}") for number in range(4)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), name, *urls],
            cwd=REPOSITORY,
            env=dict(os.environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in "abc"
    ]
    for url in urls:  # several times: who comes first differs
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        for process in processes:
            assert process.stdout is not None and process.stderr is not None
            assert process.stdout.readline() == "done\n", process.stderr.read()
        assert sorted(context.name for context in connect(url, write=True).get_contexts()) == list("abc")
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0


@pytest.mark.parametrize(
    "said",
    [
        'PostgreSQL metadata source error: ERROR:  database "race" already exists',
        'ERROR:  duplicate key value violates unique constraint "pg_database_datname_index"',
        'ERROR:  source database "template1" is being accessed by other users',
        'ERROR:  relation "type" already exists',
        "ERROR:  tuple concurrently updated",
        "Deadlock found when trying to get lock; try restarting transaction",
    ],
)
def test_whoever_comes_second_at_a_new_database_tries_again(
    said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:

    opened, real = [], metadata_store.MetadataStore

    def second(config: Any) -> Any:
        opened.append(config)
        if len(opened) == 1:
            raise RuntimeError(said)
        return real(config)

    monkeypatch.setattr(metadata_store, "MetadataStore", second)
    assert connect(f"sqlite:///{tmp_path}/store.sqlite", write=True).get_contexts() == []
    assert len(opened) == 2
