"""Options of `target: mobile`."""

from __future__ import annotations

from typing import Literal

from components.targets.target import TargetOptions


class MobileOptions(TargetOptions):
    """Phones and small computers, which run LiteRT on their processor."""

    kind: Literal["mobile"] = "mobile"
