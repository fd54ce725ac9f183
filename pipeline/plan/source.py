"""The meaning of a Python file, apart from its layout: a digest of its syntax tree, and its imports.

Parsing takes a millisecond or more a file, and a plan looks at over a hundred. Results are therefore kept in
the user's cache folder, under the SHA-256 of the file's content: an entry can be missing, but not outdated.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pipeline.base import user_cache
from pipeline.base.user_cache import UserCache

# A file that names one of these may read docstrings or source text, its own or another's.
_READ_TEXT = (b"__doc__", b"getdoc", b"getsource")
# Fields of the tree that follow from the place of a node, or have no effect.
_IGNORED_FIELDS = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
_NEVER_EXECUTED = frozenset({"TYPE_CHECKING", "typing.TYPE_CHECKING"})
_MOST_ENTRIES = 500


class Import(NamedTuple):
    """A name that a file may import; `from a import b` gives both `a` and `a.b`.

    Attributes:
        name: Dotted.
        level: Number of leading dots of a relative import.
        inner: Whether the import is inside a function, which may never be called.
    """

    name: str
    level: int
    inner: bool

    def absolute(self, package: str) -> str:
        """The name as the modules of a package import it."""
        if not self.level:
            return self.name
        parents = package.split(".")[: len(package.split(".")) - self.level + 1]
        return ".".join([*parents, *([self.name] if self.name else [])])


@dataclass(frozen=True)
class Source:
    """The content of a file.

    Attributes:
        content: SHA-256 of the file.
        digest: SHA-256 of the syntax tree without docstrings: comments and layout do not change it.
        imports: In the order of the file.
        reads_text: Whether the file may read docstrings or source text while it runs.
    """

    content: str
    digest: str
    imports: tuple[Import, ...]
    reads_text: bool


def read_source(content: bytes, filename: str) -> Source:
    """Reads a file.

    Args:
        content: Content of the file.
        filename: For errors.

    Raises:
        SyntaxError: If the content is not Python.
    """
    key = hashlib.sha256(content).hexdigest()
    cache = _cache()
    source = cache.get(key)
    if source is None:
        tree = ast.parse(content, filename=filename)
        source = Source(
            content=key,
            digest=hashlib.sha256(repr(_shape(tree)).encode()).hexdigest(),
            imports=tuple(dict.fromkeys(_imports(tree.body, inner=False))),
            reads_text=any(word in content for word in _READ_TEXT),
        )
        cache.add(source)
    return source


def save_cache() -> None:
    """Keeps what was read for later processes; does nothing if the cache folder cannot be written."""
    _cache().save()


def _shape(value: object) -> object:
    """A syntax tree as nested lists that `repr` tells apart; empty fields differ between Pythons and are dropped."""
    if isinstance(value, ast.AST):
        fields = (
            (name, _shape(field)) for name, field in ast.iter_fields(value) if name not in _IGNORED_FIELDS
        )
        return [
            type(value).__name__,
            *(field for field in fields if field[1] is not None and field[1] != []),
        ]
    if isinstance(value, list):
        return [_shape(item) for item in value if not _is_text(item)]
    return value


def _is_text(item: object) -> bool:
    """Whether an element of a tree is a docstring, or another constant that is a statement."""
    return isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant)


def _imports(body: list[ast.stmt], inner: bool) -> Iterator[Import]:
    """Imports at every depth. Expressions, most of a tree, hold none."""
    for node in body:
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, 0, inner) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            yield Import(base, node.level, inner)
            for alias in node.names:
                yield Import(f"{base}.{alias.name}" if base else alias.name, node.level, inner)
        elif isinstance(node, ast.If) and ast.unparse(node.test) in _NEVER_EXECUTED:
            yield from _imports(node.orelse, inner)
        else:
            is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            for part in ("body", "orelse", "finalbody", "handlers", "cases"):
                yield from _imports(getattr(node, part, []), inner or is_function)


class _Cache:
    """Sources by the SHA-256 of their content."""

    def __init__(self, path: Path):
        self._kept = UserCache(path)
        self._used: dict[str, Source] = {}
        self._added = False

    def get(self, content: str) -> Source | None:
        """The source with this SHA-256, if it is known."""
        if content not in self._used and content in self._kept.rows:
            digest, reads_text, imports = self._kept.rows[content]
            self._used[content] = Source(
                content, digest, tuple(Import(*row) for row in imports), reads_text
            )
        return self._used.get(content)

    def add(self, source: Source) -> None:
        self._used[source.content] = source
        self._added = True

    def save(self) -> None:
        """Writes the file if sources were added; of those that this process did not use, the newest are kept."""
        if not self._added:
            return
        unused = [(key, row) for key, row in self._kept.rows.items() if key not in self._used]
        rows = dict(unused[len(self._used) - _MOST_ENTRIES :] if len(self._used) < _MOST_ENTRIES else ())
        for key, source in self._used.items():
            rows[key] = [source.digest, source.reads_text, source.imports]
        self._kept.save(rows)
        self._added = False


def _cache() -> _Cache:
    return _opened(user_cache.folder())


@functools.cache
def _opened(folder: Path) -> _Cache:
    # The result also depends on this module and on Python's grammar.
    reader = hashlib.sha256(Path(__file__).read_bytes() + sys.version.encode()).hexdigest()[:16]
    return _Cache(folder / f"sources-{reader}.json")
