"""A budget as one text, and the space that is searched if a config has none. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

import json
import re
from typing import Any

from components.common.base.near_names import nearest
from components.targets.registry import TARGETS
from pipeline.config.problem import InvalidInput, Problem

# Word of a budget → the key of the config that it sets.
_KEYS = {
    "size": "gate.size.max",
    "gzip_size": "gate.gzip_size.max",
    "flash": "gate.flash.max",
    "memory": "gate.memory.max",
    "latency": "gate.latency.max",
    "max_drop": "gate.accuracy.max_drop",
    "min": "gate.accuracy.min",
}
_PART = re.compile(r"(\w+)\s*[:= ]\s*(.+)")


def overrides_of(budget: str) -> list[str]:
    """A budget as `--set` takes limits of the gate.

    Args:
        budget: Such as `size 60 kB, max_drop 0.005`; a latency may end with ms.

    Raises:
        InvalidInput: If a part of it is not a limit.
    """
    found = []
    for part in filter(None, map(str.strip, budget.split(","))):
        match = _PART.fullmatch(part)
        if match is None or match[1] not in _KEYS:
            word = part.split()[0]
            meant = "" if word in _KEYS else nearest(word, list(_KEYS))
            raise InvalidInput(
                [
                    Problem(
                        f"{part!r} is not a limit{meant}; write e.g. 'size 60 kB, max_drop 0.005' with "
                        f"{', '.join(_KEYS)}",
                        file="--budget",
                    )
                ]
            )
        name, value = match[1], match[2].strip()
        if name == "latency":
            value = value.removesuffix("ms").strip()
        found.append(f"{_KEYS[name]}={value}")
    if not found:
        raise InvalidInput(
            [Problem("has no limits; write e.g. 'size 60 kB, max_drop 0.005'", file="--budget")]
        )
    return found


def default_search(kind: str) -> str:
    """The override that writes the section for a config that has none.

    Args:
        kind: Of the target.
    """
    return f"search={json.dumps({'space': default_space(kind)})}"


def default_space(kind: str) -> list[dict[str, Any]]:
    """The space for a kind of target: fewer channels, zeros, shared values and QAT, each with or without, and int8.

    Zeros and shared values make a file smaller once it is compressed. If the target wants a small file as it is,
    `Target.searched` looks for that, too: on a microcontroller, kernels of few values may become look-up tables.
    """
    return [
        {"prune_channels": {"ratio": {"between": [0.2, 0.8], "step": 0.1}}, "optional": True},
        {"prune": {"sparsity": {"between": [0.5, 0.95], "step": 0.05}}, "optional": True},
        {"cluster": {"clusters": {"choose": [8, 16, 32]}}, "optional": True},
        {"qat": {}, "optional": True},
        {"convert": dict(TARGETS[kind].searched)},
    ]
