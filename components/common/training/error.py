"""The error of a training."""

from __future__ import annotations

from components.common.base.errors import ParedownError


class TrainingError(ParedownError):
    """Training did not give a usable model, or its options do not fit the compiled model."""
