"""Whole runs with the metadata on MariaDB, on PostgreSQL and behind gRPC."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from ml_metadata.proto import metadata_store_pb2

from pipeline.config.metadata_url import PASSWORD_VARIABLE
from pipeline.store.connection import connect
from tests.e2e.project import Project, make_project
from tests.e2e.warm import Outcome
from tests.servers.copy_store import copy_store
from tests.servers.database import Database
from tests.servers.grpc_store import metadata_server

pytestmark = pytest.mark.e2e
pytest_plugins = ["tests.servers.fixtures"]

CONFIG = """
name: {name}
data: {{path: data, splits: {{train: "train*", eval: "test*"}}, label: label}}
model:
  module: model
  hparams: {{filters: [2, 4], units: 8, learning_rate: 0.003}}
  train: {{epochs: 1, batch_size: 64}}
candidates:
  int8:
    - convert: {{quantization: int8, io: int8, calibration_examples: 20}}
gate:
  accuracy: {{metric: SparseCategoricalAccuracy, max_drop: 0.99, allow_weak_baseline: true}}
  latency: {{max: 1000, repetitions: 30, warmup: 2}}
  size: {{max_ratio: 0.9}}
push: {{directory: serving}}
run: {{metadata: "{url}"}}
"""


@pytest.fixture(scope="module")
def make_tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Project]:
    """Makes projects that run as fast as one can; the first is the model of the others."""
    first = make_project(tmp_path_factory.mktemp("databases") / "first", train=300, test=100)

    def make(name: str, url: str, password: str = "") -> Project:
        project = first.copy(first.root.with_name(f"{name}-{time.monotonic_ns()}"))
        (project.root / "pipeline.yaml").write_text(CONFIG.format(name=name, url=url), encoding="utf-8")
        project.environment.pop(PASSWORD_VARIABLE, None)
        if password:
            project.environment[PASSWORD_VARIABLE] = password
        return project

    return make


def run_at_once(*projects: Project) -> list[Outcome]:
    """Runs projects at the same time."""
    return [
        run.outcome() for run in [project.start("run", "pipeline.yaml", "--json") for project in projects]
    ]


def properties(node: Any) -> dict[str, Any]:
    return {
        name: getattr(value, value.WhichOneof("value")) for name, value in node.custom_properties.items()
    }


def files_with(folder: Path, text: bytes) -> list[Path]:
    """Files below a folder that hold a text."""
    return [path for path in folder.rglob("*") if path.is_file() and text in path.read_bytes()]


@dataclass
class Finished:
    """Projects that have run with one store, which none of them found there.

    Attributes:
        url: The store's.
        projects: Name of the pipeline → its project.
        outcomes: Name of the pipeline → what `run` gave back.
        server: The database server that has the store; None behind gRPC.
    """

    url: str
    projects: dict[str, Project]
    outcomes: dict[str, Outcome]
    server: Database | None = None

    def ask(self, statement: str) -> list[list[str]]:
        """Rows of the store's tables."""
        assert self.server is not None
        return self.server.ask(statement, self.url.rpartition("/")[2])


@pytest.fixture(scope="module")
def on_postgresql(postgresql_server: Database, make_tiny: Callable[..., Project]) -> Finished:
    """One run; tests/pipeline/store/test_at_once.py has several."""
    url = postgresql_server.url("metadata")
    project = make_tiny("alpha", url, postgresql_server.password)
    (outcome,) = run_at_once(project)
    return Finished(url, {"alpha": project}, {"alpha": outcome}, postgresql_server)


@pytest.fixture(scope="module")
def on_mariadb_and_grpc(
    mariadb_server: Database, make_tiny: Callable[..., Project], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Finished, Finished]]:
    """One run on each, at once to save time."""
    config = metadata_store_pb2.ConnectionConfig()
    config.sqlite.filename_uri = str(tmp_path_factory.mktemp("grpc") / "metadata.sqlite")
    config.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    with metadata_server(config) as port:
        url, remote = mariadb_server.url("metadata"), f"grpc://127.0.0.1:{port}"
        projects = make_tiny("gamma", url, mariadb_server.password), make_tiny("remote", remote)
        gamma, behind = run_at_once(*projects)
        yield (
            Finished(url, {"gamma": projects[0]}, {"gamma": gamma}, mariadb_server),
            Finished(remote, {"remote": projects[1]}, {"remote": behind}),
        )


@pytest.fixture(params=["postgresql", "mariadb", "grpc"])
def any_store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Finished:
    """Each store with its finished runs."""
    if request.param == "postgresql":
        found = request.getfixturevalue("on_postgresql")
    else:
        found = request.getfixturevalue("on_mariadb_and_grpc")[request.param == "grpc"]
    if found.server is not None:
        monkeypatch.setenv(PASSWORD_VARIABLE, found.server.password)
    return found


databases = pytest.mark.parametrize("any_store", ["postgresql", "mariadb"], indirect=True)


def test_every_run_pushes(any_store: Finished) -> None:
    for name, outcome in any_store.outcomes.items():
        assert outcome.code == 0, outcome.err
        result = outcome.json()
        assert result["winner"] == "int8"
        assert {node["state"] for node in result["nodes"].values()} == {"ran"}
        assert Path(result["pushed"]).parent == any_store.projects[name].root / "serving"
        assert (Path(result["pushed"]) / "tflite").stat().st_size > 1000
        # Nothing of the metadata is in the project.
        assert list(any_store.projects[name].root.glob(".paredown/**/*.sqlite")) == []


@databases
def test_the_tables_hold_the_runs(any_store: Finished) -> None:
    ask = any_store.ask
    assert ask("SELECT name FROM Type GROUP BY name, type_kind HAVING count(*) > 1") == []
    rows = ask(
        "SELECT c.name, count(*) FROM Context c JOIN Type t ON c.type_id = t.id "
        "JOIN Association a ON a.context_id = c.id JOIN Execution e ON e.id = a.execution_id "
        "WHERE t.name = 'pipeline' AND e.last_known_state = 3 GROUP BY c.name ORDER BY c.name"
    )
    assert rows == [
        [name, str(len(outcome.json()["nodes"]))] for name, outcome in any_store.outcomes.items()
    ]
    assert ask("SELECT count(*) FROM Execution WHERE last_known_state <> 3") == [["0"]]
    runs = ask("SELECT c.name FROM Context c JOIN Type t ON c.type_id = t.id WHERE t.name = 'pipeline_run'")
    assert len(runs) == len(any_store.outcomes)
    destinations = ask("SELECT string_value FROM ArtifactProperty WHERE name = 'pushed_destination'")
    assert sorted(row[0] for row in destinations) == sorted(
        outcome.json()["pushed"] for outcome in any_store.outcomes.values()
    )


@pytest.mark.soak
@pytest.mark.parametrize("server", ["mariadb_server", "postgresql_server"])
def test_runs_at_once_share_a_store(
    server: str, make_tiny: Callable[..., Project], request: pytest.FixtureRequest
) -> None:
    database = request.getfixturevalue(server)
    url = database.url("shared")
    projects = {name: make_tiny(name, url, database.password) for name in ("first", "second")}
    outcomes = dict(zip(projects, run_at_once(*projects.values()), strict=True))
    assert [outcome.code for outcome in outcomes.values()] == [0, 0], outcomes
    test_the_tables_hold_the_runs(Finished(url, projects, outcomes, database))


def test_the_nodes_get_all_of_it(any_store: Finished) -> None:
    """JSON within JSON has backslashes, and configs are long: ml_metadata alone loses both."""
    store = connect(any_store.url)
    executions = store.get_executions()
    assert len(executions) == sum(len(outcome.json()["nodes"]) for outcome in any_store.outcomes.values())
    reported = [properties(execution) for execution in executions]
    trained = [json.loads(values["custom_config"]) for values in reported if "custom_config" in values]
    hparams = [json.loads(config["hparams"]) for config in trained if "hparams" in config]
    expected = {"filters": [2, 4], "learning_rate": 0.003, "units": 8}
    assert hparams == [expected] * len(any_store.outcomes)
    configs = [
        json.loads(values["json"])
        for values in map(properties, store.get_contexts_by_type("paredown_document"))
        if values["kind"] == "config"
    ]
    assert sorted(config["name"] for config in configs) == sorted(any_store.outcomes)


def test_the_next_run_finds_everything_done(any_store: Finished) -> None:
    for project in any_store.projects.values():
        assert set(project.states().values()) == {True}


@databases
def test_the_password_is_nowhere(any_store: Finished) -> None:
    part = "one; #1 %40"  # of the password; stays as it is in JSON, YAML and connection strings
    assert any_store.server is not None and part in any_store.server.password
    for name, project in any_store.projects.items():
        outcome = any_store.outcomes[name]
        assert part not in outcome.out + outcome.err
        assert Path(outcome.json()["log"]).stat().st_size > 1000
        assert files_with(project.root, part.encode()) == []
    like = f"LIKE '%{part.replace('%', '_')}%'"
    for table in ("ArtifactProperty", "ContextProperty", "ExecutionProperty"):
        assert any_store.ask(f"SELECT name FROM {table} WHERE string_value {like}") == []


@databases
@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_wrong_password_ends_the_command_with_one_line(any_store: Finished, command: str) -> None:
    project = next(iter(any_store.projects.values()))
    stranger = replace(project, environment={**project.environment, PASSWORD_VARIABLE: "hunter2"})
    outcome = stranger.paredown(command, "pipeline.yaml")
    assert outcome.code == 2, outcome.err
    assert "the server refuses to log in 'tester' with the password in the environment" in outcome.err
    assert "Traceback" not in outcome.err
    assert "hunter2" not in outcome.out + outcome.err


@pytest.mark.parametrize("server", ["mariadb_server", "postgresql_server"])
def test_a_plan_makes_no_database(
    server: str, make_tiny: Callable[..., Project], request: pytest.FixtureRequest
) -> None:
    database = request.getfixturevalue(server)
    project = make_tiny("planned", database.url("planned"), database.password)
    assert set(project.states().values()) == {False}
    assert project.paredown("validate", "pipeline.yaml").code == 0
    query = "SHOW DATABASES" if database.scheme == "mysql" else "SELECT datname FROM pg_database"
    assert ["planned"] not in database.ask(query)


def aside(text: str) -> str:
    """A text without ids and times of the store."""
    text = re.sub(r"#\d+", "#", text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "TIME", text)
    return re.sub(r"\b[\d.]+ (ms|s|min)\b", "DURATION", text)


def test_lineage_is_that_of_the_same_runs_in_sqlite(any_store: Finished, tmp_path: Path) -> None:
    copy = f"sqlite:///{tmp_path}/copy.sqlite"
    copy_store(connect(any_store.url), connect(copy, write=True))
    for name, outcome in any_store.outcomes.items():
        project, result = any_store.projects[name], outcome.json()
        on_server, on_sqlite = (
            {
                target: project.paredown("lineage", target, "--metadata", url)
                for target in (result["run"], result["pushed"], f"{result['pushed']}/tflite")
            }
            for url in (any_store.url, copy)
        )
        for target, shown in on_server.items():
            assert shown.code == on_sqlite[target].code == 0, shown.err
            assert aside(shown.out) == aside(on_sqlite[target].out)
            # And it is all there: the file's hash, the verdict, the step, the data's hash.
            for text in ("tflite, sha256 ", "limits met", "step 1 convert", "train.tfrecord.gz, "):
                assert text in shown.out
        runs = [
            project.paredown("runs", "--json", "--metadata", url).json()["runs"]
            for url in (any_store.url, copy)
        ]
        for listed in runs:
            for run in listed:
                run.pop("context_id")
        assert runs[0] == runs[1]
        assert result["run"] in [run["id"] for run in runs[0]]
