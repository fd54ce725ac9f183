"""Paredown's TFX components, one folder each, and the artifact types that they exchange."""

from __future__ import annotations

from typing import Any

_ARTIFACT_TYPES = frozenset({"BaselinePredictions", "ModelMeasurement", "OptimizationReport"})


def __getattr__(name: str) -> Any:
    """Imports artifact types on first use.

    ML Metadata names an artifact type by the path it is imported from, `components.<Type>`; importing
    them here at once would make every command pay for TFX.
    """
    if name in _ARTIFACT_TYPES:
        from components import artifacts

        return getattr(artifacts, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
