"""Blessing a model the way that TFX's own Evaluator does, which is what its Pusher reads."""

from __future__ import annotations

import os
from typing import Any


def bless(blessing: Any, blessed: bool) -> None:
    """Marks a `ModelBlessing` artifact: a file named by the outcome, and the property `blessed`."""
    os.makedirs(blessing.uri, exist_ok=True)
    with open(os.path.join(blessing.uri, "BLESSED" if blessed else "NOT_BLESSED"), "wb"):
        pass
    blessing.set_int_custom_property("blessed", int(blessed))
