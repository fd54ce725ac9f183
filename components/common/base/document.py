"""JSON documents that one class writes and reads, with a schema version and an upgrade of older ones."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from components.common.base import json_file
from components.common.base.errors import ParedownError

Self = TypeVar("Self", bound="Document")

# Leaves a field out of the JSON if it has no value: `Annotated[str | None, LEFT_OUT_IF_EMPTY] = None`.
LEFT_OUT_IF_EMPTY = Field(
    exclude_if=lambda value: value is None or value == "" or value == () or value == {}
)


class DocumentError(ParedownError):
    """A file that cannot be read as the document that it should be; the text names the file."""


@dataclass(frozen=True)
class Document:
    """The base of a document. Subclasses are frozen dataclasses whose fields pydantic can validate.

    Attributes:
        TITLE: What the document is, for error messages: "verdict".
        VERSION: The schema version that `write` writes. Raise it if a field is removed or changes its meaning,
            and let `upgraded` turn the previous version into the new one.
        SPELLS_NAN: Whether NaN and infinity are kept, as texts, rather than null.
    """

    TITLE: ClassVar[str]
    VERSION: ClassVar[int]
    SPELLS_NAN: ClassVar[bool] = False

    @classmethod
    def upgraded(cls, values: dict[str, Any], version: int) -> dict[str, Any]:
        """JSON values of an older version as values of the current one.

        Args:
            values: The document.
            version: Its version; 1 if the document has none.
        """
        raise NotImplementedError

    @classmethod
    def current(cls, values: Any) -> Any:
        """JSON values in the current version, upgraded if they are older.

        Raises:
            ValueError: If the document is newer than this code.
        """
        if not isinstance(values, dict):
            return values  # which the validation refuses
        version = values.get("schema_version", 1)
        if not isinstance(version, int) or version > cls.VERSION:
            raise ValueError(
                f"it has schema version {version}, but this Paredown reads versions up to {cls.VERSION}; update "
                f"Paredown"
            )
        return values if version == cls.VERSION else cls.upgraded(values, version)

    @classmethod
    def from_json(cls: type[Self], values: Any, source: str = "") -> Self:
        """The document that JSON values describe, of this version or an older one.

        Args:
            values: As `to_json` returns them.
            source: The file's name, for the error.

        Raises:
            DocumentError: If a part is missing or is not what it should be, or the version is unknown.
        """
        try:
            found: Self = _adapter(cls).validate_python(cls.current(values))
            return found
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the document"
            raise _not_readable(cls, source, f"{where}: {first['msg']}") from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:  # an upgrade of what is damaged
            raise _not_readable(cls, source, str(error) or type(error).__name__) from error

    def to_json(self) -> dict[str, Any]:
        """The document as JSON values; NaN and infinity are null, or texts with `SPELLS_NAN`."""
        values = json_file.finite(_adapter(type(self)).dump_python(self, mode="json"), self.SPELLS_NAN)
        return {"schema_version": self.VERSION, **values}

    @classmethod
    def read(cls: type[Self], path: str | os.PathLike[str]) -> Self:
        """Reads a file that `write` wrote, in this version or an older one.

        Raises:
            DocumentError: If the file is not there, is not JSON, or is not this document.
        """
        try:
            with open(path, encoding="utf-8") as file:
                values = json.load(file)
        except OSError as error:
            raise DocumentError(f"{os.fspath(path)} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise _not_readable(cls, os.fspath(path), f"it is not JSON: {error}") from error
        return cls.from_json(values, os.fspath(path))

    def write(self, path: str | os.PathLike[str]) -> None:
        """Writes the document beside its place and moves it there; see `json_file.write`."""
        json_file.write(os.fspath(path), self.to_json())


def _not_readable(cls: type[Document], source: str, why: str) -> DocumentError:
    return DocumentError(f"{source or 'this'} is damaged, or is not a {cls.TITLE}: {why}")


_ADAPTERS: dict[type[Document], TypeAdapter[Any]] = {}


def _adapter(cls: type[Document]) -> TypeAdapter[Any]:
    if cls not in _ADAPTERS:
        _ADAPTERS[cls] = TypeAdapter(cls)
    return _ADAPTERS[cls]


def required(values: Mapping[str, Any], *names: str) -> None:
    """Raises a ValueError if a document lacks one of these keys."""
    missing = [name for name in names if name not in values]
    if missing:
        raise ValueError(f"{' and '.join(missing)} is missing")
