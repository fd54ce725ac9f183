"""A feature of many examples in a file, of which only what is asked for is read into memory."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

# Rows that are read at a time if all are.
_TOGETHER = 4096


@dataclass(frozen=True, eq=False)
class Column:
    """The values of a feature: an array-like that Keras's `fit`, `evaluate` and `predict` take batches of.

    Attributes:
        path: File with the values, row after row, in C order and nothing else.
        dtype: Dtype of the values.
        shape: (examples, …).
        order: Example → its row in the file, (examples,).
    """

    path: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    order: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all values."""
        return len(self) * self._row_bytes()

    def _row_bytes(self) -> int:
        return int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.itemsize

    def __getitem__(self, index: int | slice | Sequence[int] | npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The values of some examples, as of an array."""
        rows = self.order[index]
        read = self._read(np.atleast_1d(rows))
        return read if np.ndim(rows) else read[0]

    def _read(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        size = self._row_bytes()
        content = bytearray(size * len(rows))
        into = memoryview(content)
        file = os.open(self.path, os.O_RDONLY)
        try:
            # Not memory-mapped: pages that were once read would count as memory of the process.
            for number, row in enumerate(rows.tolist()):
                if os.preadv(file, [into[number * size : (number + 1) * size]], row * size) != size:
                    raise OSError(f"{self.path} ends before example {row}")
        finally:
            os.close(file)
        return np.frombuffer(content, self.dtype).reshape((len(rows), *self.shape[1:]))

    def __array__(self, dtype: npt.DTypeLike = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """All values, in memory."""
        rows = np.fromfile(self.path, self.dtype).reshape(self.shape)
        return rows[self.order].astype(dtype or self.dtype, copy=False)

    def reshape(self, shape: tuple[int, ...]) -> Column:
        """The same values in another shape; one size may be -1, as in NumPy.

        Raises:
            ValueError: If an example does not have as many values.
        """
        # NumPy does the arithmetic, on an array without memory.
        shaped = np.broadcast_to(np.empty((), np.bool_), self.shape).reshape(shape, order="C").shape
        if shaped[0] != len(self):
            raise ValueError(f"{self.shape} cannot be {shape}")
        return replace(self, shape=shaped)

    def cast(self, dtype: np.dtype[Any], cast: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]) -> Column:
        """The values in another dtype, in a file beside this one.

        Args:
            dtype: The other dtype.
            cast: Gives some rows in it, or raises if it cannot hold them.
        """
        if dtype == self.dtype:
            return self
        path = f"{self.path}.{dtype.name}"
        if not os.path.exists(path):
            handle, beside = tempfile.mkstemp(dir=os.path.dirname(path))
            try:
                with open(handle, "wb") as file:
                    for part in self.chunks():
                        file.write(np.ascontiguousarray(cast(part)).data)
                os.replace(beside, path)
            except BaseException:
                os.unlink(beside)
                raise
        return replace(self, path=path, dtype=dtype)

    def chunks(self) -> Iterator[npt.NDArray[Any]]:
        """The values in the order of the file, some rows at a time."""
        with open(self.path, "rb") as file:
            while content := file.read(max(1, self._row_bytes()) * _TOGETHER):
                values = np.frombuffer(content, self.dtype)
                yield values.reshape((-1, *self.shape[1:]))


# A feature in memory, or in a file.
Values = npt.NDArray[Any] | Column
