"""Removes what nothing needs."""

from __future__ import annotations

import dataclasses
import os
import shutil
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.gc import garbage
from pipeline.gc.needs import GarbageError, KeepRules
from pipeline.run import lock as run_lock
from pipeline.run.lock import LockError
from pipeline.store.reader import Reader

if TYPE_CHECKING:
    from ml_metadata.metadata_store import MetadataStore

_BATCH = 500


@dataclass(frozen=True)
class Removal:
    """The removed files.

    Attributes:
        plan: What was to be removed and what was kept.
        failures: Folder that could not be removed → why. The next collection tries again.
    """

    plan: garbage.Plan
    failures: dict[str, str] = field(default_factory=dict)


def remove(reader: Reader, store: MetadataStore, rules: KeepRules, database: str | None = None) -> Removal:
    """Removes what nothing needs. Nothing can run below the roots meanwhile.

    Artifacts are marked DELETED before their files are removed. If this is killed midway, no artifact claims to
    be live that is not, and the next collection removes the rest.

    Args:
        reader: Reader of the store.
        store: The same, opened for writing.
        rules: Which runs are kept.
        database: The store's file if it is an SQLite one.

    Raises:
        GarbageError: If the rules name a run that does not exist, a run is in progress below one of the roots, or a
            root cannot be written to; nothing was removed then.
    """
    roots = garbage.plan(reader, rules, database).roots
    with ExitStack() as locks:
        for root in roots:
            try:
                held = locks.enter_context(run_lock.hold(Path(root)))
            except LockError as error:  # another user's folder, or a read-only disk
                raise GarbageError(str(error)) from None
            if not held:
                raise GarbageError(f"a run is using {root}; try again when it has ended")
        # Again, as a run may have begun or ended before the locks were held.
        plan = garbage.plan(reader, rules, database)
        plan = dataclasses.replace(plan, removed=tuple(item for item in plan.removed if item.root in roots))
        _mark_deleted(store, [item.artifact for item in plan.removed if item.artifact is not None])
        failures = {}
        for item in plan.removed:
            if item.path:
                try:
                    shutil.rmtree(item.path)
                except OSError as error:
                    failures[item.path] = error.strerror or str(error)
                with suppress(OSError):  # there are other outputs of that name
                    os.rmdir(os.path.dirname(item.path))
    return Removal(plan, failures)


def _mark_deleted(store: MetadataStore, artifact_ids: list[int]) -> None:
    for begin in range(0, len(artifact_ids), _BATCH):
        artifacts = store.get_artifacts_by_id(artifact_ids[begin : begin + _BATCH])
        for artifact in artifacts:
            artifact.state = artifact.DELETED
        store.put_artifacts(artifacts)
