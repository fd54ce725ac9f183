"""The metrics that TFMA can compute, from the syntax trees of its source: importing TFMA takes 14 seconds.

TFMA resolves a class name first among the metrics that its own modules register and then among those of tf_keras
(`tensorflow_model_analysis/metrics/metric_specs.py`). Plots and other metrics that are not one number are left out,
as no limit can be put on them.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from components.common.base.installed import version_of
from pipeline.base import user_cache
from pipeline.base.user_cache import UserCache

DOCUMENTATION = "https://www.tensorflow.org/tfx/model_analysis/metrics"

_TFMA = "tensorflow_model_analysis.metrics"
_KERAS = "tf_keras.src.metrics"
# Names of metrics, not source: nothing in a class says that its result is not one number.
_NOT_ONE_NUMBER = re.compile(r"(Plot|AtThresholds|ConfusionMatrix|FeatureSampler|Attributions)$")
_KERAS_BASES = frozenset({"base_metric", "py_metric"})


@dataclass(frozen=True)
class Arguments:
    """The named arguments of a metric's constructor.

    Attributes:
        required: Those without a default.
        known: All of them; None if the constructor takes any (`**kwargs`) or is inherited.
    """

    required: tuple[str, ...] = ()
    known: tuple[str, ...] | None = None


def known_metrics() -> set[str]:
    """Class names of the metrics that a limit can be put on.

    Returns:
        An empty set if TFMA or tf_keras is not found, or TFMA registers metrics in another way than this module
        knows; no name can be refused then.
    """
    own = {name for path in _tfma_modules() for name in _registered(path)}
    keras = _keras_classes()
    return (
        {name for name in own | keras.keys() if not _NOT_ONE_NUMBER.search(name)}
        if own and keras
        else set()
    )


def arguments(metric: str) -> Arguments | None:
    """The arguments of a metric's constructor; None if the metric is not one of `known_metrics`.

    What was found is kept in the user's cache folder: parsing a few modules takes 0.05 s.
    """
    if _NOT_ONE_NUMBER.search(metric):
        return None
    kept = UserCache(user_cache.folder() / f"metrics-{_versions()}.json")
    if metric in kept.rows:
        required, known = kept.rows[metric]
        return Arguments(tuple(required), None if known is None else tuple(known))
    found = _search(metric)
    if found is not None:
        kept.save({**kept.rows, metric: [found.required, found.known]})
    return found


@functools.cache
def _versions() -> str:
    """Differs if another version of TFMA, tf_keras or this module may find something else."""
    installed = [version_of(name) for name in ("tensorflow-model-analysis", "tf-keras")]
    return hashlib.sha256(repr(installed).encode() + Path(__file__).read_bytes()).hexdigest()[:16]


def _search(metric: str) -> Arguments | None:
    """As `arguments`. Only modules whose text has the name are parsed: all of them take 0.13 s."""
    for path in _tfma_modules():
        if metric in path.read_text(encoding="utf-8") and metric in _registered(path):
            return _registered(path)[metric]
    path_or_none = _keras_classes().get(metric)
    return _arguments_of(metric, _parsed(path_or_none)) if path_or_none else None


@functools.cache
def _tfma_modules() -> list[Path]:
    """The modules that TFMA's package of metrics imports: a module registers its metrics when it is imported."""
    folder = _folder(_TFMA)
    if folder is None:
        return []
    names = {
        name
        for module, imported in _imports(folder / "__init__.py", _TFMA)
        for name in ([module] if module else imported)
    }
    paths = [folder / f"{name}.py" for name in sorted(names)]
    return [path for path in paths if path.is_file()]


@functools.cache
def _keras_classes() -> Mapping[str, Path]:
    """Metric of tf_keras → the module that defines it."""
    folder = _folder(_KERAS)
    if folder is None:
        return {}
    return {
        name: folder / f"{module}.py"
        for module, imported in _imports(folder / "__init__.py", _KERAS)
        for name in imported
        if module and module not in _KERAS_BASES and name[0].isupper() and not name.endswith("Base")
    }


@functools.cache
def _registered(path: Path) -> Mapping[str, Arguments]:
    """The metrics that a module of TFMA registers."""
    tree = _parsed(path)
    calls = [
        node.value for node in tree.body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    ]
    names = [
        call.args[0].id
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and call.func.attr == "register_metric"
        and isinstance(call.args[0], ast.Name)
    ]
    return {name: _arguments_of(name, tree) for name in names}


def _arguments_of(metric: str, tree: ast.Module) -> Arguments:
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == metric:
            for member in node.body:
                if isinstance(member, ast.FunctionDef) and member.name == "__init__":
                    return _arguments_in(member.args)
    return Arguments()


def _arguments_in(signature: ast.arguments) -> Arguments:
    names = [argument.arg for argument in signature.args[1:]]
    keyword_only = [argument.arg for argument in signature.kwonlyargs]
    required = names[: len(names) - len(signature.defaults)] + [
        name for name, default in zip(keyword_only, signature.kw_defaults, strict=True) if default is None
    ]
    known = None if signature.kwarg else tuple(names + keyword_only)
    return Arguments(tuple(required), known)


def _folder(package: str) -> Path | None:
    """Folder of a package. Finding its top-level package does not execute it, as finding a package in it would."""
    top, *inner = package.split(".")
    spec = importlib.util.find_spec(top)
    folder = Path(spec.origin).parent.joinpath(*inner) if spec and spec.origin else None
    return folder if folder is not None and (folder / "__init__.py").is_file() else None


def _imports(path: Path, package: str) -> Iterator[tuple[str, list[str]]]:
    """For each `from <package>.<module> import …` of a file, the module (empty for the package) and the names."""
    for node in _parsed(path).body:
        if isinstance(node, ast.ImportFrom) and node.module and f"{node.module}.".startswith(f"{package}."):
            yield node.module[len(package) + 1 :], [alias.name for alias in node.names]


def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes())
