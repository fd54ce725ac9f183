"""Removing what nobody needs."""

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
from pipeline.store.reader import Reader

if TYPE_CHECKING:
    from ml_metadata.metadata_store import MetadataStore

_BATCH = 500


@dataclass(frozen=True)
class Removal:
    """What was removed.

    Attributes:
        plan: What was to go and what stayed.
        failures: Folder that could not be removed → why. The next collection tries again.
    """

    plan: garbage.Plan
    failures: dict[str, str] = field(default_factory=dict)


def remove(reader: Reader, store: MetadataStore, rules: KeepRules, database: str | None = None) -> Removal:
    """Removes what nobody needs. Nothing can run below the roots meanwhile.

    Artifacts are marked DELETED before their files go: where this is killed midway, none claims to be there
    that is not, and the next collection removes the rest.

    Args:
        reader: Of the store.
        store: The same, opened for writing.
        rules: Which runs are kept.
        database: The store's file where it is an SQLite one.

    Raises:
        GarbageError: Where the rules name a run that is not there, or a run is going on below one of the
            roots, or a root cannot be written to; nothing was removed then.
    """
    roots = garbage.plan(reader, rules, database).roots
    with ExitStack() as locks:
        for root in roots:
            try:
                held = locks.enter_context(run_lock.hold(Path(root)))
            except OSError as error:  # a folder of somebody else's, or a disk that is read-only
                raise GarbageError(
                    f"{error.filename} cannot be written: {error.strerror}; collect as a user who may write there"
                ) from None
            if not held:
                raise GarbageError(f"a run is using {root}; collect when it has ended")
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
                with suppress(OSError):  # other outputs of that name are there
                    os.rmdir(os.path.dirname(item.path))
    return Removal(plan, failures)


def _mark_deleted(store: MetadataStore, artifact_ids: list[int]) -> None:
    for begin in range(0, len(artifact_ids), _BATCH):
        artifacts = store.get_artifacts_by_id(artifact_ids[begin : begin + _BATCH])
        for artifact in artifacts:
            artifact.state = artifact.DELETED
        store.put_artifacts(artifacts)
