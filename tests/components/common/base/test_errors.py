"""Of a chain of exceptions, people read the one that is written for them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from components.common.base.errors import ParedownError, reason_of


class ConversionError(ParedownError):
    """As a component raises it."""


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    """The exception after it was raised, from another one if that is given."""
    try:
        if cause is not None:
            raise error from cause
        raise error
    except BaseException as caught:
        return caught


def in_handler(first: BaseException, then: BaseException) -> BaseException:
    """An exception that is raised while another one is handled, without `from`."""
    try:
        try:
            raise first
        except BaseException:
            raise then  # noqa: B904
    except BaseException as caught:
        return caught


def beam(error: BaseException, step: str = "Train") -> BaseException:
    """As `_reraise_augmented` of apache_beam/runners/common.py raises an exception again."""
    try:
        copy: BaseException = type(error)(f"{error.args[0]} [while running '{step}']", *error.args[1:])
    except Exception:
        copy = RuntimeError(f"{type(error).__name__}: {error} [while running '{step}']")
    return in_handler(error, copy)


OURS = "LSTM cannot be converted to int8; write unroll=True in the layer"
TENSORFLOW = "Could not translate MLIR to FlatBuffer. loc(): try experimental_enable_resource_variables"


@pytest.mark.parametrize(
    "chain",
    [
        lambda: raised(ConversionError(OURS)),
        # Keras's and TFLite's own errors, inside.
        lambda: raised(ConversionError(OURS), raised(RuntimeError("inner"), ValueError(TENSORFLOW))),
        # TFX's wrapper, outside.
        lambda: raised(
            RuntimeError("executor failed"), raised(ConversionError(OURS), ValueError(TENSORFLOW))
        ),
        lambda: in_handler(ConversionError(OURS), RuntimeError("while closing")),
        lambda: beam(raised(ConversionError(OURS), ValueError(TENSORFLOW))),
        lambda: raised(RuntimeError("outside"), beam(beam(ConversionError(OURS), "a"), "b")),
    ],
)
def test_ours_is_what_people_read(chain: Callable[[], BaseException]) -> None:
    assert reason_of(chain()) == f"ConversionError: {OURS}"


def test_of_several_of_ours_the_outermost_says_most() -> None:
    chain = raised(
        ConversionError("student: cannot be converted; see build_student"), ConversionError(OURS)
    )
    assert reason_of(chain) == "ConversionError: student: cannot be converted; see build_student"


def test_without_ours_the_first_cause_is_what_people_read() -> None:
    chain = raised(RuntimeError("node failed"), raised(RuntimeError("executor failed"), KeyError("label")))
    assert reason_of(chain) == "KeyError: 'label'"
    assert reason_of(beam(ValueError("no such column"))) == "ValueError: no such column"


class Picky(ParedownError):
    """An exception that Beam cannot copy."""

    def __init__(self, row: int, column: str):
        super().__init__(f"row {row}, column {column}: not a number")


def test_ours_is_found_in_what_beam_cannot_copy() -> None:
    assert reason_of(beam(Picky(3, "age"))) == "Picky: row 3, column age: not a number"
