"""Versions of the code that nodes run, so that an edit reruns exactly what depends on it.

TFX's cache key holds a node's inputs and parameters, not its code; each of Paredown's nodes therefore
carries a parameter `code_version`, a hash over the source that its executor imports and over the
installed versions of the packages that do the work.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = (
    "ai-edge-litert",
    "tensorflow",
    "tensorflow-model-analysis",
    "tensorflow-model-optimization",
    "tf-keras",
)


@functools.cache
def package_versions() -> dict[str, str]:
    """Installed versions of the packages that train, convert and measure."""
    return {name: metadata.version(name) for name in _PACKAGES}


@functools.cache
def component_version(module: str) -> str:
    """Hash of a module of `components` and of all that it imports from there.

    Args:
        module: Dotted name, e.g. `components.pruner.executor`.

    Returns:
        Twelve hexadecimal digits.
    """
    digest = hashlib.sha256()
    for path in sorted(imported_files(_ROOT, module, within="components")):
        digest.update(str(path.relative_to(_ROOT)).encode())
        digest.update(path.read_bytes())
    digest.update(repr(sorted(package_versions().items())).encode())
    return digest.hexdigest()[:12]


def module_version(path: Path, module: str, config_path: Path) -> str:
    """Hash of a user's model module and of all of the project that it imports.

    Args:
        path: The module's file.
        module: Its dotted name.
        config_path: The config; modules may stand beside it, in the working directory, or where the
            module was found.
    """
    digest = hashlib.sha256()
    roots = (Path.cwd(), config_path.absolute().parent, module_root(path, module))
    files = {path} | {file for root in roots for file in imported_files(root, module)}
    # What the module imports may stand below another root than the module itself.
    for name in _imports(path, _parent(module)):
        files |= {file for root in roots for file in imported_files(root, name)}
    for file in sorted(files):
        digest.update(file.name.encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def module_root(path: Path, module: str) -> Path:
    """The folder that Python has to search for a module of this name to be this file."""
    folder = path.parent.parent if path.name == "__init__.py" else path.parent
    for _ in range(module.count(".")):
        folder = folder.parent
    return folder


def imported_files(root: Path, module: str, within: str = "") -> set[Path]:
    """Files below `root` that importing `module` reads, wherever in a file the import stands.

    Args:
        root: Folder that names are looked up in.
        module: Dotted name.
        within: Package whose files alone are wanted; where this program is installed, TensorFlow is below
            `root` too.
    """
    found: set[Path] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if within and name.partition(".")[0] != within:
            continue
        path = _file_of(root, name)
        if path is None or path in found:
            continue
        found.add(path)
        waiting.append(_parent(name))  # importing a.b executes a/__init__.py too
        waiting.extend(_imports(path, package=name if path.name == "__init__.py" else _parent(name)))
    return found


def _parent(name: str) -> str:
    return name.rpartition(".")[0]


def _file_of(root: Path, name: str) -> Path | None:
    if not name:
        return None
    base = root.joinpath(*name.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements at every depth. Expressions, most of a tree, hold no imports."""
    for node in body:
        yield node
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):
            yield from _statements(getattr(node, part, []))


@functools.cache
def _imports(path: Path, package: str) -> list[str]:
    """Dotted names that a file may import; `from a import b` gives both `a` and `a.b`."""
    names: list[str] = []
    for node in _statements(ast.parse(path.read_bytes(), filename=str(path)).body):
        if isinstance(node, ast.Import):
            names.extend(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *([base] if base else [])])
            names.append(base)
            names.extend(f"{base}.{alias.name}" if base else alias.name for alias in node.names)
    return names
