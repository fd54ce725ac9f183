"""What clients keep between rounds, in files: memory holds it of one client at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from components.federated_trainer.aggregation import Vector


class ClientStore:
    """Vectors of clients, in a folder that exists."""

    def __init__(self, folder: str):
        self._folder = Path(folder)
        self._numbers: dict[str, int] = {}

    def get(self, client: str, name: str) -> Vector | None:
        """A client's vector; None if it has none of this name."""
        path = self._path(client, name)
        return np.load(path) if path.exists() else None

    def put(self, client: str, name: str, values: Vector | None) -> None:
        """Keeps a vector in place of the one before; None keeps nothing new."""
        if values is not None:
            np.save(self._path(client, name), values)

    def _path(self, client: str, name: str) -> Path:
        number = self._numbers.setdefault(client, len(self._numbers))
        return self._folder / f"{number}-{name}.npy"
