"""Versions of the code that nodes run, so that an edit reruns exactly what depends on it.

TFX's cache key holds a node's inputs and parameters, but not its code. Each of Paredown's nodes therefore has a
parameter `code_version`: a hash over the modules that its executor imports and over the installed versions of
the packages that do the work. Comments, docstrings and layout are not part of it.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path

from components.common.base.distribution_options import distribution_of
from pipeline.plan.source import Source, read_source, save_cache

_ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = (
    "ai-edge-litert",
    "tensorflow",
    "tensorflow-model-analysis",
    "tensorflow-model-optimization",
    "tf-keras",
)
Modules = dict[str, list[Source]]

# Only a training with a `distribution` executes these: other modules import them inside functions that it calls.
DISTRIBUTED = tuple(
    f"components.common.training.{name}"
    for name in ("batches", "distributed", "strategies", "worker", "worker_group")
)


@functools.cache
def package_versions() -> dict[str, str]:
    """Installed versions of the packages that train, convert and measure."""
    return {name: metadata.version(name) for name in _PACKAGES}


def is_distributed(params: str) -> bool:
    """Whether a node with these options, as JSON, trains with a `distribution`."""
    return not distribution_of(json.loads(params)).alone()


@functools.cache
def component_version(module: str, distributed: bool = False, root: Path = _ROOT) -> str:
    """Hash of a module of `components` and of all modules there that it imports.

    Args:
        module: Dotted name, e.g. `components.pruner.executor`.
        distributed: Whether the node trains with a `distribution`.
        root: Folder of the package `components`, read once in a process.

    Returns:
        Twelve hexadecimal digits.
    """
    names = [module, *(DISTRIBUTED if distributed else ())]
    modules = _tree(root).imported(
        names, within="components", not_called=() if distributed else DISTRIBUTED
    )
    return _digest(modules, package_versions())


def module_version(path: Path, module: str, config_path: Path) -> str:
    """Hash of a user's model module and of all modules of the project that it imports.

    Args:
        path: The module's file.
        module: Its dotted name.
        config_path: The config. Modules may be beside it, in the working directory, or where the module was
            found.

    Raises:
        SyntaxError: If one of the files is not Python.
    """
    tree = _Tree(Path.cwd(), config_path.absolute().parent, module_root(path, module))
    return _digest(tree.imported([module]), {})


def module_root(path: Path, module: str) -> Path:
    """The folder that Python has to search for a module of this name to be this file."""
    folder = path.parent.parent if path.name == "__init__.py" else path.parent
    for _ in range(module.count(".")):
        folder = folder.parent
    return folder


def _digest(modules: Modules, packages: Mapping[str, str]) -> str:
    # If one file reads docstrings, all docstrings count.
    read = any(source.reads_text for sources in modules.values() for source in sources)
    hashes = {
        name: [source.content if read else source.digest for source in sources]
        for name, sources in modules.items()
    }
    save_cache()
    return hashlib.sha256(json.dumps([hashes, packages], sort_keys=True).encode()).hexdigest()[:12]


class _Tree:
    """The Python files below some folders that names are looked up in; each is read once."""

    def __init__(self, *roots: Path):
        self._roots = tuple(dict.fromkeys(roots))
        self._files: dict[str, dict[Path, Source]] = {}

    def imported(
        self, modules: Iterable[str], within: str = "", not_called: Collection[str] = ()
    ) -> Modules:
        """The modules that importing and calling some modules may execute.

        Args:
            modules: Dotted names.
            within: Package whose modules are wanted; all if empty. TensorFlow may be below the same root.
            not_called: Modules that no called function imports.

        Returns:
            Dotted name → the files of that name, below one root or several.
        """
        found: Modules = {}
        waiting = list(modules)
        while waiting:
            name = waiting.pop()
            if name in found or (within and name.partition(".")[0] != within):
                continue
            files = self._read(name)
            found[name] = list(files.values())
            if files:
                waiting.append(name.rpartition(".")[0])  # importing a.b executes a/__init__.py too
            for path, source in files.items():
                waiting += _imports(source, name, path.name == "__init__.py", not_called)
        return {name: sources for name, sources in found.items() if sources}

    def _read(self, name: str) -> dict[Path, Source]:
        if name not in self._files:
            paths = (_file_of(root, name) for root in self._roots)
            self._files[name] = {path: read_source(path.read_bytes(), str(path)) for path in paths if path}
        return self._files[name]


@functools.cache
def _tree(root: Path) -> _Tree:
    return _Tree(root)


def _imports(source: Source, name: str, is_package: bool, not_called: Collection[str]) -> Iterator[str]:
    package = name if is_package else name.rpartition(".")[0]
    for found in source.imports:
        absolute = found.absolute(package)
        if not (found.inner and any(f"{absolute}.".startswith(f"{module}.") for module in not_called)):
            yield absolute


def _file_of(root: Path, name: str) -> Path | None:
    if not name:
        return None
    base = root.joinpath(*name.split("."))
    for path in (base / "__init__.py", base.with_name(f"{base.name}.py")):
        if path.is_file():
            return path
    return None
