"""Planning and removing garbage of a made history, and a store with a long history."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

from rich.console import Console

from pipeline.gc import garbage
from pipeline.gc import removal as garbage_removal
from pipeline.gc import table as garbage_table
from pipeline.gc.needs import KeepRules
from tests.pipeline.run_history import History

LAST_ONE = KeepRules(last=1)
NONE = KeepRules(last=0)


def plan(history: History, rules: KeepRules = NONE) -> garbage.Plan:
    return garbage.plan(history.reader, rules, str(history.database))


def remove(history: History, rules: KeepRules = NONE) -> garbage_removal.Removal:
    return garbage_removal.remove(history.reader, history.store, rules, str(history.database))


def artifacts(found: garbage.Plan) -> set[int]:
    return {item.artifact for item in found.removed if item.artifact is not None}


def files(root: Path) -> set[str]:
    """Files below a root, without those of the store and the lock."""
    found = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    return {path for path in found if not path.startswith(("metadata.sqlite", "run.lock"))}


def rendered(removal: Any, each: bool = False) -> str:
    stream = io.StringIO()
    garbage_table.show(Console(file=stream, width=160, color_system=None), removal, each)
    return stream.getvalue()


@dataclasses.dataclass
class Lived:
    """A store with a long history, and its content by name."""

    history: History
    ids: dict[str, int]
    leftovers: dict[str, Path]
