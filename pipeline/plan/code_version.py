"""Versions of the code that nodes run, so that an edit reruns exactly what depends on it.

TFX's cache key holds a node's inputs and parameters, but not its code. Each of Paredown's nodes therefore has a
parameter `code_version`: a hash over the modules that its executor imports and over the installed versions of
the packages that do the work. Comments, docstrings and layout are not part of it.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from components.common.base.distribution_options import Distribution
from components.common.base.installed import version_of, version_or_none
from pipeline.plan import remembered_versions
from pipeline.plan.source import Source, read_source, save_cache

ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = (
    "ai-edge-litert",
    "tensorflow",
    "tensorflow-model-analysis",
    "tensorflow-model-optimization",
    "tf-keras",
)
# Modules that only some nodes call → the package that does their work. What predicts and what compiles for an NPU are
# parameters, `runtime` and `npu`.
_PACKAGE_OF = {
    "components.common.tflite.packing": "tflite-micro",
    "components.targets.microcontroller.c_array": "tflite-micro",
}
Modules = dict[str, list[Source]]

# Only the measurement of a server calls this.
SERVER_LOAD = "components.measurer.server_load"
# Imported inside functions that are called only if options ask for it: StepOptions.called_modules, target: server.
IF_ASKED = (
    "components.common.tflite.packing",
    "components.tflite_converter.held_back",
    "components.tflite_converter.repairing",
    SERVER_LOAD,
)

# Only a training with a `distribution` executes these: other modules import them inside functions that it calls.
DISTRIBUTED = tuple(
    f"components.common.training.{name}"
    for name in ("batches", "distributed", "strategies", "worker", "worker_group")
)


@functools.cache
def package_versions() -> dict[str, str]:
    """Installed versions of the packages that train, convert and measure."""
    return {name: version_of(name) for name in _PACKAGES}


def is_distributed(params: str) -> bool:
    """Whether a node with these options, as JSON, trains with a `distribution`."""
    written = json.loads(params).get("distribution")
    return bool(written) and not Distribution.model_validate(written).alone()


def component_version(
    module: str, distributed: bool = False, root: Path | None = None, kept: tuple[str, ...] = ()
) -> str:
    """Hash of a module of a component and of all modules of `components`, and of its own package, that it imports.

    Args:
        module: Dotted name, e.g. `components.pruner.executor`.
        distributed: Whether the node trains with a `distribution`.
        root: Folder of the package `components`, read once in a process; this program's by default.
        kept: Modules that the node calls besides: those of the techniques whose invariants it measures and keeps, and
            what its options ask for.

    Returns:
        Twelve hexadecimal digits.
    """
    root = root or ROOT
    if not all(name.startswith("components.") for name in (module, *kept)):
        return _component_version(module, distributed, root, kept)
    versions = remembered_versions.within(root)
    asked = json.dumps([module, distributed, kept])
    if asked not in versions:
        versions[asked] = _component_version(module, distributed, root, kept)
    return versions[asked]


@functools.cache
def _component_version(module: str, distributed: bool, root: Path, kept: tuple[str, ...]) -> str:
    names = [module, *kept, *(DISTRIBUTED if distributed else ())]
    within = {name.partition(".")[0] for name in ("components", *names)}
    not_called = IF_ASKED if distributed else (*IF_ASKED, *DISTRIBUTED)
    modules = _tree(root).imported(names, within=within, not_called=not_called)
    called = {
        package: version_or_none(package) or "" for name, package in _PACKAGE_OF.items() if name in modules
    }
    return _digest(modules, {**package_versions(), **called})


def forget() -> None:
    """Lets the versions be found again from the files and packages that are there now."""
    for known in (_component_version, _tree, package_versions):
        known.cache_clear()


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
    tree = _Tree(config_path.absolute().parent, Path.cwd(), module_root(path, module))
    return _digest(tree.imported([module]), {})


def module_root(path: Path, module: str) -> Path:
    """The folder that Python has to search for a module of this name to be this file."""
    folder = path.parent.parent if path.name == "__init__.py" else path.parent
    for _ in range(module.count(".")):
        folder = folder.parent
    return folder


def files_of(
    modules: Iterable[str], folders: Iterable[Path], not_called: Collection[str] = ()
) -> list[tuple[str, Path]]:
    """The modules that importing and calling some modules may execute, with their files, by name.

    Args:
        modules: Dotted names.
        folders: Folders that they are looked up in, in this order; others are left out.
        not_called: Modules that no called function imports.
    """
    roots = list(folders)
    found = _Tree(*roots).imported(modules, not_called=not_called)
    files = ((name, next(filter(None, (_file_of(root, name) for root in roots)), None)) for name in found)
    return sorted((name, Path(path)) for name, path in files if path is not None)


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
        self._modules: dict[str, _Module] = {}

    def imported(
        self, modules: Iterable[str], within: Collection[str] = (), not_called: Collection[str] = ()
    ) -> Modules:
        """The modules that importing and calling some modules may execute.

        Args:
            modules: Dotted names.
            within: Packages whose modules are wanted; all if empty. TensorFlow may be below the same root.
            not_called: Modules that no called function imports.

        Returns:
            Dotted name → the files of that name, below one root or several.
        """
        found: Modules = {}
        waiting = list(modules)
        while waiting:
            name = waiting.pop()
            if name in found or (within and name.partition(".")[0] not in within):
                continue
            module = self._read(name)
            found[name] = module.sources
            waiting += module.imports
            waiting += (inner for inner in module.inner_imports if not _is_one_of(inner, not_called))
        return {name: sources for name, sources in found.items() if sources}

    def _read(self, name: str) -> _Module:
        if name not in self._modules:
            module = self._modules[name] = _Module()
            parent = name.rpartition(".")[0]
            for path in filter(None, (_file_of(root, name) for root in self._roots)):
                with open(path, "rb") as file:
                    source = read_source(file.read(), path)
                package = name if path.endswith("__init__.py") else parent
                module.sources.append(source)
                module.imports.add(parent)  # importing a.b executes a/__init__.py too
                for found in source.imports:
                    names = module.inner_imports if found.inner else module.imports
                    names.add(found.absolute(package))
        return self._modules[name]


@dataclass
class _Module:
    """The files of a dotted name, and the names that they import: anywhere, and inside functions."""

    sources: list[Source] = field(default_factory=list)
    imports: set[str] = field(default_factory=set)
    inner_imports: set[str] = field(default_factory=set)


@functools.cache
def _tree(root: Path) -> _Tree:
    return _Tree(root)


def _is_one_of(name: str, modules: Collection[str]) -> bool:
    """Whether a name is one of some modules, or something in one."""
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def _file_of(root: Path, name: str) -> str | None:
    if not name:
        return None
    base = os.path.join(root, *name.split("."))
    return next(filter(os.path.isfile, (os.path.join(base, "__init__.py"), f"{base}.py")), None)
