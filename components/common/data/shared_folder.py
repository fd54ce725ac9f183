"""The folder in which the nodes of a run keep the examples that one of them decoded. Imports no TensorFlow."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# In the pipeline root.
NAME = "decoded"


@contextmanager
def made(pipeline_root: Path) -> Iterator[None]:
    """Makes the folder for the nodes of a run; what a killed run left is removed before, and it all in the end."""
    folder = pipeline_root / NAME
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def of(file: str) -> Path | None:
    """The folder of the run that wrote a file of examples; None if there is none, as on a cluster."""
    # <pipeline root>/<node>/<output>/<execution>/Split-<split>/<file>
    above = Path(file).absolute().parents
    folder = above[4] / NAME if len(above) > 4 else None
    return folder if folder and folder.is_dir() else None
