"""Options of `target: web`."""

from __future__ import annotations

from typing import Literal

from components.targets.target import TargetOptions


class WebOptions(TargetOptions):
    """Browsers, which run LiteRT.js."""

    kind: Literal["web"] = "web"
