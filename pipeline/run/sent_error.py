"""An exception that is raised in one process and raised again in another, with what it came from."""

from __future__ import annotations

import pickle
import traceback
from dataclasses import dataclass

from components.common.base.errors import ParedownError, causes


@dataclass(frozen=True)
class _One:
    """An exception without what it came from.

    Attributes:
        name: Name of its type.
        text: Its message.
        told_whole: See `components.common.base.errors.describe`.
        for_people: Whether it is a `ParedownError`.
        pickled: The exception; empty if it cannot be pickled.
        raised_from: Whether it names its cause, rather than having met another exception.
    """

    name: str
    text: str
    told_whole: bool
    for_people: bool
    pickled: bytes
    raised_from: bool


@dataclass(frozen=True)
class SentError:
    """An exception as it travels.

    Attributes:
        chain: The exception and what it came from, the outermost first.
        trace: Its traceback.
    """

    chain: tuple[_One, ...]
    trace: str

    @classmethod
    def of(cls, error: BaseException) -> SentError:
        """Packs an exception that was caught."""
        chain = tuple(
            _One(
                type(one).__name__,
                str(one),
                bool(getattr(one, "told_whole", False)),
                isinstance(one, ParedownError),
                _pickled(one),
                one.__cause__ is not None,
            )
            for one in causes(error)
        )
        return cls(chain, "".join(traceback.format_exception(error)))

    def error(self) -> BaseException:
        """The exception, to be raised here. If its type cannot be loaded, it is another one of that name and text."""
        chain = [_unpacked(one) for one in self.chain]
        for one, outer, inner in zip(self.chain, chain, chain[1:]):  # noqa: B905 (the last one has none)
            if one.raised_from:
                outer.__cause__ = inner
            else:
                outer.__context__ = inner
        vars(chain[0])[_TRACE] = self.trace
        return chain[0]


_TRACE = "traceback_elsewhere"


def full_traceback(error: BaseException) -> str:
    """The traceback of an exception, with those of the process in which it was first raised."""
    elsewhere = [vars(one)[_TRACE] for one in causes(error) if _TRACE in vars(one)]
    return "\n".join(["".join(traceback.format_exception(error)), *elsewhere])


def _pickled(error: BaseException) -> bytes:
    """The exception, or nothing if it would not come back as it is."""
    try:
        pickled = pickle.dumps(error)
        same = str(pickle.loads(pickled)) == str(error)
    except Exception:  # whatever the class of a library or of the user does
        return b""
    return pickled if same else b""


def _unpacked(one: _One) -> BaseException:
    if one.pickled:
        try:
            found = pickle.loads(one.pickled)
        except Exception:  # as in `_pickled`: the text is there in any case
            found = None
        if isinstance(found, BaseException):
            return found
    base = ParedownError if one.for_people else Exception
    kind = type(one.name, (base,), {"told_whole": one.told_whole, "__module__": __name__})
    error: Exception = kind(one.text)
    return error
