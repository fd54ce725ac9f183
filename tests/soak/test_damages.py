"""Damaged files of every kind: each is refused by name, and what is pushed is what was judged, or nothing."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.common.base.errors import ParedownError
from components.common.base.file_hashes import ChangedFile, FileHashes
from pipeline.checks.checked_config import load_checked
from pipeline.lineage import target
from pipeline.plan.planner import make_plan
from pipeline.run.cache import cached_ids
from pipeline.run.integrity import refuse_changed
from pipeline.store.reader import Reader, open_reader
from pipeline.store.records import Artifact
from pipeline.store.state import State
from tests.damage import damage
from tests.e2e.project import Project
from tests.e2e.small_table import check_push, make_table_project

pytestmark = [pytest.mark.soak, pytest.mark.e2e, pytest.mark.timeout(0)]

DAMAGES = int(os.environ.get("PAREDOWN_DAMAGES", "100"))
# One of this many damages is followed by a whole run, and one of this many of these happens during the run.
WHOLE_RUN, MEANWHILE = 25, 3


@dataclass(frozen=True)
class Place:
    """A file that can be damaged.

    Attributes:
        kind: Node type, output and name, without numbers.
        path: The file.
        node: Id of the node that made it.
        artifact: That it is of; None of a pushed version.
    """

    kind: str
    path: Path
    node: str
    artifact: Artifact | None


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = make_table_project(tmp_path_factory.mktemp("damaged") / "project")
    check_push(made, made.run())
    return made


@pytest.fixture
def inside(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(project.root)
    monkeypatch.syspath_prepend(str(project.root))
    return project


def store_url(project: Project) -> str:
    (store,) = project.root.glob("**/metadata.sqlite")
    return f"sqlite:///{store}"


def reader_of(project: Project) -> Reader:
    reader = open_reader(store_url(project))
    assert reader is not None
    return reader


def places(project: Project) -> list[Place]:
    """All files of the outputs that a run would take from the cache, and of the newest version."""
    reader = reader_of(project)
    found = []
    for node in make_plan(load_checked(Path("pipeline.yaml")).config, Path("pipeline.yaml")).nodes:
        execution = next(e for e in reader.executions_of_node("damaged", node.id) if e.state is State.RAN)
        for key, artifacts in reader.outputs(execution.id).items():
            for artifact in artifacts:
                folder = Path(artifact.uri)
                files = sorted(path for path in folder.rglob("*") if path.is_file())
                type_name = node.id.split("-")[0]
                found += [
                    Place(f"{type_name}/{key}/{_kind(folder, f)}", f, node.id, artifact) for f in files
                ]
    version = max(project.root.glob("serving/[0-9]*"), key=lambda path: int(path.name))
    return found + [Place(f"pushed/{path.name}", path, "Pusher", None) for path in version.iterdir()]


def _kind(folder: Path, file: Path) -> str:
    return "/".join(
        part.split("-0")[0].split(".17")[0]
        for part in file.relative_to(folder).parts
        if not part.isdecimal()
    )


def cached(project: Project) -> set[str]:
    file = load_checked(Path("pipeline.yaml"))
    return cached_ids(file, make_plan(file.config, file.path))


@contextlib.contextmanager
def put_back(path: Path, folder: Path) -> Iterator[None]:
    """Restores a file with its times when the block ends; `folder` keeps it until then."""
    kept = Path(shutil.copy2(path, folder / "kept"))
    try:
        yield
    finally:
        shutil.copy2(kept, path)


def test_every_damage_is_seen_where_a_run_looks(inside: Project, tmp_path: Path) -> None:
    """The node of the damaged file would run again, and nothing reads the file before that."""
    numbers, every = random.Random(20261130), cached(inside)
    kinds: dict[str, list[Place]] = {}
    for place in places(inside):
        kinds.setdefault(place.kind, []).append(place)
    done: Counter[str] = Counter()
    for number in range(DAMAGES):
        kind = sorted(kinds)[number % len(kinds)]
        place = numbers.choice(kinds[kind])
        with put_back(place.path, tmp_path):
            damage(place.path, numbers)
            would_take = cached(inside)
            assert place.node not in would_take, f"{place.path} was taken from the cache"
            assert would_take < every
            if place.artifact is not None:
                with pytest.raises(ChangedFile) as refused:
                    refuse_changed([place.artifact], FileHashes())
                assert str(place.path) in str(refused.value)
            else:
                resolved = target.resolve(reader_of(inside), str(place.path.parent))
                assert target.TAMPERED in {note.kind for note in resolved.notes}
        done[kind] += 1
    assert cached(inside) == every
    print(f"\n{sum(done.values())} damages of {len(done)} kinds of files: {dict(done)}", flush=True)


def test_a_damaged_store_is_read_or_refused(inside: Project, tmp_path: Path) -> None:
    """Every reading of a damaged store ends in an answer or in a message."""
    (store,) = inside.root.glob("**/metadata.sqlite")
    numbers, ended = random.Random(20261201), Counter[str]()
    for _ in range(DAMAGES // 5):
        copy = tmp_path / "metadata.sqlite"
        shutil.copy2(store, copy)
        damage(copy, numbers)
        try:
            reader = open_reader(f"sqlite:///{copy}")
            if reader is None:
                ended["gone"] += 1
                continue
            for run in reader.runs():
                edges = reader.edges_of_executions([one.id for one in reader.executions_of_run(run)])
                reader.artifacts([edge.artifact for edge in edges])
            ended["read"] += 1
        except ParedownError as error:
            ended["refused" if "metadata.sqlite" in str(error) else f"without its name: {error}"] += 1
    assert set(ended) <= {"gone", "read", "refused"}
    print(f"\n{sum(ended.values())} damaged stores: {dict(ended)}", flush=True)


def test_whole_runs_on_damaged_files_push_what_was_judged(inside: Project) -> None:
    """A file is damaged before a run, or while it is on its way."""
    numbers, ended = random.Random(20261202), Counter[int]()
    begin = time.monotonic()
    inside.run()
    usual = time.monotonic() - begin
    for number in range(DAMAGES // WHOLE_RUN):
        before = numbers.choice(places(inside))
        damage(before.path, numbers)
        run = inside.start("run", "pipeline.yaml", "--json")
        what = before.kind
        if number % MEANWHILE == 0:
            time.sleep(numbers.uniform(0.2, 1.0) * usual)
            meanwhile = numbers.choice([p for p in _there(inside) if "serving" not in p.parts])
            damage(meanwhile, numbers)
            what += f", and {meanwhile.name} meanwhile"
        code, error = run.code(), run.err.read_text(encoding="utf-8")
        assert code in (0, 3), f"{what}: {error}"
        assert "Traceback (most recent" not in error, f"{what}: {error}"
        ended[code] += 1
        if code == 0:
            check_push(inside, json.loads(run.out.read_text(encoding="utf-8")))
        else:
            assert " was changed" in error or " is missing" in error or " was added" in error, error
            check_push(inside, inside.run())
        print(f"{number}: {what}: {code}", flush=True)
    print(f"\n{sum(ended.values())} whole runs: {dict(ended)}", flush=True)


def _there(project: Project) -> list[Path]:
    """Files of artifacts, at a moment at which a run may write them."""
    found = []
    for path in project.root.glob(".paredown/**/*"):
        with contextlib.suppress(OSError):
            if path.is_file() and path.stat().st_size and not {"logs", ".system"} & set(path.parts):
                found.append(path)
    return [
        path for path in found if not path.name.startswith("metadata.sqlite") and path.name != "run.lock"
    ]
