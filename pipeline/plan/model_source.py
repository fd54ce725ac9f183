"""The user's model module as source: where it is and what it defines, found without executing it."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

Function = ast.FunctionDef | ast.AsyncFunctionDef
_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
_OWN_SCOPE = Function | ast.ClassDef | ast.Lambda | _Comprehension
_NEVER_TRUE = frozenset({"__name__ == '__main__'", "TYPE_CHECKING", "typing.TYPE_CHECKING"})


def find_module(name: str, config_path: str | Path) -> Path | None:
    """The file that importing a module would execute; None if there is none.

    Searches the config's folder, the working directory and sys.path. Folders need no `__init__.py`.

    Args:
        name: Dotted name.
        config_path: The config file.
    """
    return _file_of(name, (Path(config_path).absolute().parent, Path.cwd()))


def has_function(path: str | Path, name: str) -> bool:
    """Whether a module has `name` at its top level, by definition, assignment or import.

    A name that only an unreadable `from … import *` could define does not count.

    Raises:
        SyntaxError: If the file is not Python.
    """
    return name in names_of(Path(path)).bound


def _file_of(name: str, folders: Iterable[Path]) -> Path | None:
    parts = name.split(".")
    for root in (*folders, *map(Path, sys.path)):
        base = root.joinpath(*parts)
        for path in (base / "__init__.py", base.with_name(f"{parts[-1]}.py")):
            if os.path.isfile(path):
                return path.absolute()
    return None


def takes(function: Function, count: int = 1) -> bool:
    """Whether a function can be called with this number of positional arguments."""
    if function.decorator_list:
        return True  # a decorator may change what it takes
    signature = function.args
    positional = len(signature.posonlyargs) + len(signature.args)
    required = positional - len(signature.defaults)
    return (
        isinstance(function, ast.FunctionDef)
        and required <= count
        and (positional >= count or signature.vararg is not None)
        and all(default is not None for default in signature.kw_defaults)
    )


@dataclass
class Names:
    """The names at the top level of a module.

    Attributes:
        bound: Name → the nodes of the syntax tree that bind it.
        complete: Whether there cannot be other names.
    """

    bound: dict[str, list[ast.AST]] = field(default_factory=dict)
    complete: bool = True

    def add(self, name: str, node: ast.AST) -> None:
        self.bound.setdefault(name, []).append(node)


def names_of(path: Path, seen: frozenset[Path] = frozenset()) -> Names:
    """The names of a module.

    Args:
        path: Its file.
        seen: Files that import this one by `from … import *`.

    Raises:
        SyntaxError: If the file is not Python.
    """
    names = Names()
    for node in _executed(ast.parse(path.read_bytes(), filename=str(path)).body):
        if isinstance(node, Function | ast.ClassDef):
            names.add(node.name, node)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id, node)
        elif isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
            _add_star(node, path, seen | {path}, names)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                names.add(alias.asname or alias.name.partition(".")[0], node)
    names.complete &= "__getattr__" not in names.bound
    return names


def _add_star(node: ast.ImportFrom, path: Path, seen: frozenset[Path], names: Names) -> None:
    """Adds the names that `from … import *` defines, if its source can be read."""
    if node.level:
        root = path.parents[node.level - 1]
        base = root / "__init__.py" if not node.module else _file_of(node.module, (root,))
    else:
        base = _file_of(node.module or "", (Path.cwd(), path.parent))
    if base is None or base in seen or not os.path.isfile(base):
        names.complete = False
        return
    try:
        brought = names_of(base, seen)
    except (OSError, SyntaxError, ValueError):
        names.complete = False
        return
    names.complete &= brought.complete
    for name, nodes in brought.bound.items():
        names.bound.setdefault(name, []).extend(nodes)


def _executed(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """The nodes that importing a module executes, without the bodies of functions and classes."""
    for node in body:
        yield node
        if isinstance(node, _OWN_SCOPE) or (isinstance(node, ast.AnnAssign) and not node.value):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) in _NEVER_TRUE:
            yield from _executed(node.orelse)
        else:
            yield from _executed(ast.iter_child_nodes(node))
