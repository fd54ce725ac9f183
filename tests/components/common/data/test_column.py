"""Features in files: what is read of them, and what is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.common.data.column import Column
from components.common.data.model_inputs import ExamplesError, InputSpec, shaped

VALUES = np.arange(60, dtype=np.float32).reshape(10, 2, 3)
ORDER = np.array([3, 1, 4, 0, 5, 9, 2, 6, 8, 7])


@pytest.fixture
def column(tmp_path: Path) -> Column:
    VALUES.tofile(tmp_path / "x")
    return Column(str(tmp_path / "x"), VALUES.dtype, VALUES.shape, ORDER)


@pytest.mark.parametrize("index", [0, -1, slice(2, 5), slice(0, 0), [7, 7, 1], np.array([9]), slice(None)])
def test_it_is_indexed_as_an_array_is(column: Column, index: Any) -> None:
    expected = VALUES[ORDER][index]
    found = column[index]
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    np.testing.assert_array_equal(found, expected)


def test_all_of_it_is_an_array(column: Column) -> None:
    np.testing.assert_array_equal(np.asarray(column), VALUES[ORDER])
    assert np.asarray(column, np.float64).dtype == np.float64
    assert (len(column), column.ndim, column.nbytes) == (10, 3, VALUES.nbytes)


def test_another_shape_is_that_of_an_array(column: Column) -> None:
    flat = column.reshape((10, -1, 1))
    assert flat.shape == (10, 6, 1)
    np.testing.assert_array_equal(flat[[2]], VALUES[ORDER].reshape(10, 6, 1)[[2]])
    for wrong in ((10, 5), (5, 12)):
        with pytest.raises(ValueError, match="cannot"):
            column.reshape(wrong)


def test_only_what_is_asked_for_is_read(column: Column) -> None:
    """The file is cut off: what is left can still be read."""
    with open(column.path, "r+b") as file:
        file.truncate(VALUES[:9].nbytes)
    np.testing.assert_array_equal(column[[0, 1]], VALUES[[3, 1]])
    with pytest.raises(OSError, match="ends before example 9"):
        column[[5]]


def test_another_dtype_is_checked_and_kept_in_a_file(column: Column) -> None:
    whole = shaped(column, InputSpec((6,), np.int8), "x")
    assert isinstance(whole, Column)
    assert (whole.dtype, whole.shape) == (np.int8, (10, 6))
    np.testing.assert_array_equal(np.asarray(whole), VALUES[ORDER].reshape(10, 6).astype(np.int8))

    (VALUES * 10).tofile(column.path)
    for _ in range(2):  # what was refused is not kept
        with pytest.raises(
            ExamplesError, match=r"holds 260\.0, which the model's input of uint8 cannot hold"
        ):
            shaped(column, InputSpec((6,), np.uint8), "x")
    assert sorted(path.name for path in Path(column.path).parent.iterdir()) == ["x", "x.int8"]


def test_a_shape_that_does_not_fit_is_refused_as_of_an_array(column: Column) -> None:
    with pytest.raises(ExamplesError, match=r"shape \(2, 3\), which does not fit the model's input \(5,\)"):
        shaped(column, InputSpec((5,), np.float32), "x")
