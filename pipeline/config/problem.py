"""A problem of a config: what is wrong, where, and what to write instead."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from components.common.base.errors import ParedownError
from pipeline.base.texts import elided, excerpt, printable

# Keys and indices that lead to a value of a config.
Location = tuple[str | int, ...]

# Characters of a message, of a key and of one part of a key, which may be a megabyte of the config.
_LONGEST_MESSAGE = 3000
_LONGEST_KEY = 300
_LONGEST_PART = 60


@dataclass(frozen=True)
class Problem:
    """One mistake.

    Attributes:
        message: What is wrong and what to write instead.
        location: Where it is; empty for the file as a whole.
        file: The config file, or the `--set` that the mistake is in; empty until `ConfigFile.located` fills it in.
        line: Line of the file, from 1; None if no line is at fault.
    """

    message: str
    location: Location = ()
    file: str = ""
    line: int | None = None

    def key(self) -> str:
        """The location as text, for example `candidates.int8[0].convert`."""
        text = ""
        for part in self.location:
            name = part if isinstance(part, int) else excerpt(str(part), _LONGEST_PART)
            text += f"[{name}]" if isinstance(part, int) else f".{name}" if text else str(name)
        return elided(text, _LONGEST_KEY)

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        message = elided(self.message, _LONGEST_MESSAGE)
        return printable(": ".join(part for part in (place, self.key(), message) if part))

    def to_json(self) -> dict[str, str | int | None]:
        """The problem as JSON values."""
        message = elided(self.message, _LONGEST_MESSAGE)
        return {"file": self.file, "line": self.line, "key": self.key(), "message": message}


class InvalidInput(ParedownError):
    """Input that cannot be used. `problems` has one entry for each mistake."""

    def __init__(self, problems: Sequence[Problem]):
        super().__init__("\n".join(map(str, problems)))
        self.problems = list(problems)

    def __reduce__(self) -> tuple[type[InvalidInput], tuple[list[Problem]]]:
        return type(self), (self.problems,)


class ConfigError(InvalidInput):
    """A config that cannot be run."""


@contextmanager
def about(file: Path | str) -> Iterator[None]:
    """Names the file in errors that say only what is wrong with it.

    Raises:
        InvalidInput: If a ParedownError is raised inside.
    """
    try:
        yield
    except InvalidInput:
        raise
    except ParedownError as error:
        raise InvalidInput([Problem(str(error), file=str(file))]) from error
