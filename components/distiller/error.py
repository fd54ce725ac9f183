"""Errors of `distill`."""

from components.common.base.errors import ParedownError


class DistillationError(ParedownError):
    """Teacher and student do not go together; the message says why."""
