"""The files in a pipeline root that are no longer needed.

These are the artifacts that `pipeline.gc.needs` does not find needed, and what killed runs left below the
root. Logs and reports are kept, and so is everything in ML Metadata: a removed artifact is marked DELETED
there, which TFX's cache does not take.

Only folders in TFX's places, `<root>/<node>/<output key>/<execution id>`, of an execution that the
store knows, is ever touched; nothing that a symbolic link leads to, nothing that is pushed, read as data, or
on another machine.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pipeline.gc.needs import KeepRules, Need, may_go_on, needs
from pipeline.gc.snapshot import Snapshot, take
from pipeline.store.reader import Reader
from pipeline.store.records import Execution, decoded

DATABASE = "metadata.sqlite"

# Below a node's `.system`: what executions work with, and should have removed when they ended.
_OF_EXECUTION, _OF_NODE = "executor_execution", ("stateful_working_dir", "driver_execution")

_KILLED = "left by a run that was killed or failed"


@dataclass(frozen=True)
class Item:
    """Something to remove.

    Attributes:
        what: E.g. `Model of prune-a4a3d3`.
        kind: `artifact`, or `leftover` of a killed run or of a collection that did not end.
        run: Id of the run that made it; empty if it is not known.
        path: Its folder; empty if the files are gone already.
        root: The pipeline root that it is below, with links resolved.
        bytes: Bytes of its files.
        why: Why it can be removed.
        artifact: Its id in the store; None for a leftover.
    """

    what: str
    kind: str
    run: str
    path: str
    root: str
    bytes: int
    why: str
    artifact: int | None = None


@dataclass(frozen=True)
class Kept:
    """Files kept for one reason and none of the earlier ones.

    Attributes:
        why: The reason.
        run: Id of the run that it is about; empty if it is not about a run.
        artifacts: Ids.
        bytes: Bytes of their files.
    """

    why: str
    run: str
    artifacts: tuple[int, ...]
    bytes: int


@dataclass(frozen=True)
class Plan:
    """The files to remove and to keep.

    Attributes:
        removed: What would be removed.
        kept: What would be kept, by reason.
        notes: What is left alone although nothing needs it, and why.
    """

    removed: tuple[Item, ...]
    kept: tuple[Kept, ...]
    notes: tuple[str, ...]

    @property
    def roots(self) -> tuple[str, ...]:
        """Pipeline roots that something would be removed from."""
        return tuple(sorted({item.root for item in self.removed}))

    @property
    def removed_bytes(self) -> int:
        """Bytes that would be freed."""
        return sum(item.bytes for item in self.removed)

    @property
    def kept_bytes(self) -> int:
        """Bytes that would be kept."""
        return sum(kept.bytes for kept in self.kept)


def plan(reader: Reader, rules: KeepRules, database: str | None = None) -> Plan:
    """Finds what nothing needs. Writes nothing.

    Args:
        reader: Reader of the store.
        rules: Which runs are kept.
        database: The store's file if it is an SQLite one.

    Raises:
        GarbageError: If the rules name a run that does not exist.
    """
    snapshot = take(reader)
    needed = needs(snapshot, rules)
    survey = _Survey(snapshot, needed, database, rules.pipeline)
    removed = (*survey.artifacts(), *survey.leftovers())
    notes = tuple(f"{why}: left alone, {count} in all" for why, count in sorted(survey.left_alone.items()))
    return Plan(removed, tuple(_kept(snapshot, needed)), notes)


def size(path: str) -> int:
    """Bytes of the files in a folder, or of a file; links count as such."""
    if not os.path.isdir(path) or os.path.islink(path):
        return _file_size(path)
    return sum(
        _file_size(os.path.join(folder, name)) for folder, _, names in os.walk(path) for name in names
    )


def _file_size(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except FileNotFoundError:  # a run that goes on may remove what it worked with
        return 0


def _kept(snapshot: Snapshot, needed: list[Need]) -> Iterator[Kept]:
    counted: set[int] = set()
    for need in needed:
        fresh = {i for i in need.artifacts - counted if not snapshot.artifacts[i].deleted}
        counted |= fresh
        folders = {snapshot.artifacts[i].uri for i in fresh}
        yield Kept(need.why, need.run, tuple(sorted(fresh)), sum(map(size, folders)))


class _Survey:
    """Looks at what is not needed, and decides what of it can be removed."""

    def __init__(
        self, snapshot: Snapshot, needed: list[Need], database: str | None, only: str | None = None
    ):
        self.left_alone: Counter[str] = Counter()
        self._snapshot = snapshot
        self._needed = frozenset().union(*(need.artifacts for need in needed))
        self._database = database
        self._places = {i: place for i in snapshot.artifacts if (place := snapshot.place(i)) is not None}
        # One folder may have been written in two ways, by way of a link or not.
        self._by_folder = {os.path.realpath(place.folder): i for i, place in self._places.items()}
        self._outputs = {
            (place.execution, os.path.basename(os.path.dirname(place.folder)))
            for place in self._places.values()
        }
        # A store may hold pipelines of others, which have their own rules and do not take our lock.
        self._pipelines = {
            made.pipeline
            for made in snapshot.executions.values()
            if made.component.startswith("components.")
        } | {run.pipeline for run in snapshot.runs if run.recorded}
        self._meant = self._pipelines & {only} if only else self._pipelines
        self._protected = _Paths(_protected(snapshot, self._needed, database))

    def artifacts(self) -> Iterator[Item]:
        """Artifacts that can be removed."""
        for artifact_id in sorted(self._snapshot.artifacts):
            if artifact_id in self._needed or self._snapshot.artifacts[artifact_id].deleted:
                continue
            if self._is_of_another(artifact_id):
                continue
            refusal = self._artifact_refusal(artifact_id)
            if refusal:
                self.left_alone[refusal] += 1
            else:
                yield self._item(artifact_id)

    def leftovers(self) -> Iterator[Item]:
        """Folders of no artifact, or of one that is marked as deleted, that can be removed."""
        roots = {os.path.realpath(root) for root in {place.root for place in self._places.values()}}
        if self._database:
            # A run that was killed in its first node has no artifact that would show its root.
            roots.add(os.path.dirname(os.path.realpath(self._database)))
        nodes = {
            made.node for made in self._snapshot.executions.values() if made.pipeline in self._pipelines
        }
        for root in sorted(root for root in roots if not self._root_refusal(root)):
            for node in sorted(nodes - {""}):
                yield from self._outputs_left(root, node)
                yield from self._working_space_left(root, node)

    def _is_of_another(self, artifact_id: int) -> bool:
        """Whether a pipeline of Paredown's made an artifact that is not meant this time."""
        place = self._places.get(artifact_id)
        pipeline = self._snapshot.executions[place.execution].pipeline if place else ""
        return pipeline in self._pipelines - self._meant

    def _item(self, artifact_id: int) -> Item:
        place = self._places[artifact_id]
        there = os.path.lexists(place.folder)
        run = self._snapshot.made_in(artifact_id)
        return Item(
            what=self._what(artifact_id),
            kind="artifact",
            run=run.id if run else "",
            path=place.folder if there else "",
            root=os.path.realpath(place.root),
            bytes=size(place.folder),
            why="no pushed model and no kept run needs it" if there else "its files are gone already",
            artifact=artifact_id,
        )

    def _what(self, artifact_id: int) -> str:
        kind = self._snapshot.artifacts[artifact_id].type.rpartition(".")[2]
        return f"{kind} of {self._snapshot.executions[self._places[artifact_id].execution].node}"

    def _artifact_refusal(self, artifact_id: int) -> str:
        """Why an artifact that nothing needs must not be removed; empty if it can be."""
        place = self._places.get(artifact_id)
        if place is None:
            return "artifacts that are not in a folder of TFX's"
        pipeline = self._snapshot.executions[place.execution].pipeline
        if pipeline not in self._pipelines:
            return f"artifacts of {pipeline}, which is not a pipeline of Paredown's"
        refusal = self._root_refusal(place.root)
        if refusal:
            return refusal
        if not os.path.lexists(place.folder):
            made_elsewhere = self._snapshot.made_elsewhere(artifact_id)
            return "artifacts that were made on another machine" if made_elsewhere else ""
        return self._folder_refusal(place.folder, place.root)

    def _root_refusal(self, root: str) -> str:
        if not os.path.isdir(root):
            return f"{root} is not on this machine"
        other = os.path.join(root, DATABASE)
        if os.path.exists(other) and not (self._database and _is_same(other, self._database)):
            return (
                f"{root} has another metadata store, {DATABASE}; remove that file if it is no longer used"
            )
        return ""

    def _folder_refusal(self, folder: str, root: str) -> str:
        if os.path.realpath(folder) != os.path.join(os.path.realpath(root), os.path.relpath(folder, root)):
            return f"symbolic links below {root}"
        if self._protected.touch(folder):
            return "folders that overlap with something pushed, read as data or needed"
        return ""

    def _outputs_left(self, root: str, node: str) -> Iterator[Item]:
        for key in _folders(os.path.join(root, node)):
            for folder in _folders(key):
                made = self._execution(folder, node)
                artifact_id = self._by_folder.get(folder)
                if made is None:
                    continue
                if artifact_id is None and (made.id, os.path.basename(key)) in self._outputs:
                    # A root that was moved or copied with its store: what is here may be all that is left.
                    self.left_alone[f"folders in {root} that the store knows at another place"] += 1
                elif artifact_id is None:
                    what = f"unfinished {os.path.basename(key)} of {node}"
                    yield from self._leftover(what, folder, root, made, _KILLED)
                elif self._snapshot.artifacts[artifact_id].deleted:
                    why = "left by a collection that did not end"
                    yield from self._leftover(self._what(artifact_id), folder, root, made, why)

    def _working_space_left(self, root: str, node: str) -> Iterator[Item]:
        what = f"working space of {node}"
        for folder in _full(os.path.join(root, node, ".system", _OF_EXECUTION)):
            made = self._execution(folder, node)
            if made is not None:
                yield from self._leftover(what, folder, root, made, _KILLED)
        users = {made.pipeline for made in self._snapshot.executions.values() if made.node == node}
        if users <= self._meant:
            for kind in _OF_NODE:
                for folder in _full(os.path.join(root, node, ".system", kind)):
                    yield from self._leftover(what, folder, root, None, _KILLED)

    def _execution(self, folder: str, node: str) -> Execution | None:
        """The execution that a folder is named by, if it is one of that node."""
        name = os.path.basename(folder)
        made = self._snapshot.executions.get(int(name)) if name.isdecimal() else None
        return made if made and made.node == node and made.pipeline in self._meant else None

    def _leftover(
        self, what: str, folder: str, root: str, made: Execution | None, why: str
    ) -> Iterator[Item]:
        run = self._snapshot.run_of.get(made.id) if made else None
        # If no execution is known, it may be part of any run in progress.
        if any(may_go_on(r) for r in ([run] if run else self._snapshot.runs)):
            return
        refusal = self._folder_refusal(folder, root)
        if refusal:
            self.left_alone[refusal] += 1
        else:
            yield Item(what, "leftover", run.id if run else "", folder, root, size(folder), why)


class _Paths:
    """Paths that nothing may be removed around."""

    def __init__(self, paths: Iterable[str]):
        self._paths = {os.path.realpath(path) for path in paths if path}
        self._above: set[str] = set()
        for path in self._paths:
            parent = os.path.dirname(path)
            while parent not in self._above:
                self._above.add(parent)
                parent = os.path.dirname(parent)

    def touch(self, folder: str) -> bool:
        """Whether one of the paths is a folder, is in it, or contains it."""
        real = os.path.realpath(folder)
        if real in self._above:
            return True
        while real not in self._paths:
            if real == os.path.dirname(real):
                return False
            real = os.path.dirname(real)
        return True


def _protected(snapshot: Snapshot, needed: frozenset[int], database: str | None) -> Iterator[str]:
    """Files that must always be kept: needed, pushed, or read as data or model; the store itself."""
    for artifact_id in needed:
        if not snapshot.artifacts[artifact_id].deleted:
            yield snapshot.artifacts[artifact_id].uri
    for artifact in snapshot.artifacts.values():
        yield str(artifact.properties.get("pushed_destination", ""))
    for made in snapshot.executions.values():
        yield str(made.properties.get("input_base", ""))
        yield from _models_read(made)
        yield _push_directory(made)
    yield database or ""


def _models_read(made: Execution) -> Iterator[str]:
    """Models from elsewhere that an execution began with."""
    source = decoded(made.properties.get("model_source", ""))
    for part in source.values() if isinstance(source, dict) else ():
        if isinstance(part, dict):
            yield str(part.get("path") or part.get("file") or "")


def _push_directory(made: Execution) -> str:
    destination = decoded(made.properties.get("push_destination", ""))
    filesystem = destination.get("filesystem", {}) if isinstance(destination, dict) else {}
    return str(filesystem.get("base_directory", ""))


def _folders(path: str) -> list[str]:
    """Folders directly in a folder, by name; links and hidden ones left out, and what is behind links."""
    if os.path.realpath(path) != path:
        return []
    try:
        with os.scandir(path) as entries:
            found = [e for e in entries if e.is_dir(follow_symlinks=False) and not e.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(entry.path for entry in found)


def _full(path: str) -> list[str]:
    """Folders directly in a folder that have files in them; TFX leaves an empty one for each execution."""
    return [folder for folder in _folders(path) if any(names for _, _, names in os.walk(folder))]


def _is_same(path: str, other: str) -> bool:
    return os.path.exists(other) and os.path.samefile(path, other)
