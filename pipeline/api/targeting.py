"""The kinds of targets."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from pipeline.base.shown import Shown
from pipeline.explain import targets_table


class Targets(Shown):
    """The kinds of targets, with what each measures and needs."""

    def show(self, console: Console) -> None:
        targets_table.show(console)

    def to_json(self) -> dict[str, Any]:
        """The kinds as JSON values."""
        return {"targets": targets_table.to_json()}


def targets() -> Targets:
    """Lists the kinds of targets: `paredown targets`."""
    return Targets()
