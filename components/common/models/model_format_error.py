"""Errors in a model's file."""

from __future__ import annotations

from components.common.base.errors import ParedownError


class ModelFormatError(ParedownError):
    """A file or folder is not a model that can be used; the message continues its name."""
