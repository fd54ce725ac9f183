"""Whether what verdict.json and report.json hold can be used: files may be cut off, or not ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_OF_JUDGEMENT = frozenset({"figure", "bound", "met", "reason"})


def is_verdict(found: Any) -> bool:
    """Whether a JSON value has the parts of a verdict, as components.evaluator.verdict writes it."""
    return (
        isinstance(found, Mapping)
        and "blessed" in found
        and isinstance(found.get("measured"), Mapping)
        and isinstance(found.get("reasons"), list)
        and isinstance(found.get("judgements"), list)
        and all(isinstance(one, Mapping) and set(one) >= _OF_JUDGEMENT for one in found["judgements"])
    )


def is_report(found: Any) -> bool:
    """Whether a JSON value has the parts of the Selector's report."""
    return (
        isinstance(found, Mapping)
        and "winner" in found
        and isinstance(found.get("candidates"), Mapping)
        and all(is_verdict(verdict) for verdict in found["candidates"].values())
    )
