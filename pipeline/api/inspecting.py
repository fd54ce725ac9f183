"""The content of model files."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

from rich.console import Console

from pipeline.base.shown import Shown
from pipeline.config.problem import about
from pipeline.inspection import inspection, table
from pipeline.inspection.contents import Inspection, Unread


class Inspected(tuple[Inspection | Unread, ...], Shown):
    """The content of each model at a path, the deployed one first."""

    def show(self, console: Console, tensors: bool = False) -> None:
        for model in self:
            table.show(model, console, tensors)

    def to_json(self, tensors: bool = False) -> dict[str, Any]:
        """The models as JSON values.

        Args:
            tensors: Whether to list the tensors of TFLite files.
        """
        return {"models": [model.to_json(tensors) for model in self]}

    __str__ = Shown.__str__


def inspect(path: str | PathLike[str], load: bool = False) -> Inspected:
    """Looks into model files: `paredown inspect`. No code of a file runs, unless it is loaded.

    Args:
        path: A TFLite file, a Keras file, or the folder of a SavedModel, a pushed model or a Model artifact.
        load: Whether to load Keras files and SavedModels with TensorFlow, which runs the code in them.

    Raises:
        InvalidInput: If there is no model, or none that can be read.
    """
    path = Path(path)
    with about(path):
        return Inspected(inspection.inspect(path, load))
