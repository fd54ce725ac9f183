"""Errors of `distill`."""

from components.common.base.errors import ParedownError


class DistillationError(ParedownError):
    """Teacher and student do not go together; the message says why."""


class FeatureError(DistillationError):
    """Layers that `features` names cannot be compared; the message says why."""
