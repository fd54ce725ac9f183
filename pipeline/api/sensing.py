"""Which layers of a model that exists lose accuracy in int8."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.console import Console

from components.common.base.sensitivity import Sensitivity
from pipeline import environment
from pipeline.base import collector, log_file
from pipeline.base.shown import Shown
from pipeline.config.config_file import ConfigFile
from pipeline.explain import sensitivity, sensitivity_table
from pipeline.plan.planner import make_plan
from pipeline.store.reader import open_reader


@dataclass(frozen=True, eq=False)
class Sensed(Shown):
    """What each layer costs.

    Attributes:
        models: Candidate, or `baseline` → its layers, the one that costs most first.
    """

    models: dict[str, Sensitivity]

    def show(self, console: Console) -> None:
        for name, found in self.models.items():
            sensitivity_table.show(console, name, found)
            console.print()

    def to_json(self) -> dict[str, Any]:
        """The figures as JSON values."""
        return {"sensitivity": {name: found.model_dump(mode="json") for name, found in self.models.items()}}


def sense(file: ConfigFile) -> Sensed:
    """Measures which layers lose accuracy in int8: `paredown explain --sensitivity`.

    Takes the models as the last runs left them, and what their conversions have measured already. Otherwise imports
    TensorFlow. Writes nothing.

    Args:
        file: The config.

    Raises:
        NoModel: If there is no model to examine yet.
        ConversionError: If a model cannot be converted to int8.
        StoreError: If the metadata store cannot be read.
    """
    plan = make_plan(file.config, file.path)
    found = sensitivity.find(file.config, plan, open_reader(file.config.metadata_url), str(file.path))
    if all(made.recorded is not None for made in found):
        return Sensed({made.name: made.recorded for made in found if made.recorded is not None})
    environment.prepare_for(file)
    with log_file.quiet("Importing TensorFlow, measuring layers …"), collector.looking_seldom():
        return Sensed({made.name: sensitivity.measure(made) for made in found})
