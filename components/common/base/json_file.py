"""JSON files that are whole or not there, and that every reader of JSON takes."""

from __future__ import annotations

import json
import math
import os
from typing import Any

from components.common.base import whole_file


def finite(value: Any, spelled: bool = False) -> Any:
    """The same value with keys as texts, and without NaN and infinity, which JSON has no words for.

    Args:
        value: Dictionaries, lists and scalars.
        spelled: Whether NaN and infinity become the texts `nan`, `inf` and `-inf`, rather than null.
    """
    if isinstance(value, dict):
        return {str(key): finite(item, spelled) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item, spelled) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value) if spelled else None
    return value


def write(path: str, value: Any, sort_keys: bool = False) -> None:
    """Writes a file beside its place and moves it there; a process that is killed leaves no half of it.

    Args:
        path: The file; its folder is made if there is none.
        value: What to write, as `finite` makes it.
        sort_keys: Whether objects are written in the order of their keys.
    """
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with whole_file.writing(path) as file:
        json.dump(finite(value), file, indent=2, sort_keys=sort_keys, allow_nan=False)
