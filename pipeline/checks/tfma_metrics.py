"""The metrics that TFMA can compute, read from its source: importing TFMA takes 14 seconds.

TFMA resolves a class name first among the metrics that its own modules register and then among
those of tf_keras (`tensorflow_model_analysis/metrics/metric_specs.py`). Plots and other metrics that
are not one number are left out, as no limit can be put on them.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

DOCUMENTATION = "https://www.tensorflow.org/tfx/model_analysis/metrics"

# Matched as text: parsing all of TFMA's metrics takes fifteen times as long.
_IMPORTED = re.compile(r"^from tensorflow_model_analysis\.metrics(?:\.(\w+))? import (\w+)", re.MULTILINE)
_REGISTERED = re.compile(r"^metric_types\.register_metric\((\w+)\)", re.MULTILINE)
_KERAS_CLASS = re.compile(r"^from tf_keras\.src\.metrics\.(\w+) import ([A-Z]\w*)$", re.MULTILINE)
_KERAS_BASES = frozenset({"base_metric", "py_metric"})
_NOT_ONE_NUMBER = re.compile(r"(Plot|AtThresholds|ConfusionMatrix|FeatureSampler|Attributions)$")


@dataclass(frozen=True)
class Arguments:
    """What a metric's constructor takes by name.

    Attributes:
        required: Those without a default.
        known: All of them; None where the constructor takes any (`**kwargs`) or is inherited.
    """

    required: tuple[str, ...] = ()
    known: tuple[str, ...] | None = None


def known_metrics() -> set[str]:
    """Class names of the metrics that a limit can be put on.

    Returns:
        An empty set where the source of TFMA is not found, or registers metrics in some other way
        than this module knows; no name can be refused then.
    """
    return set(_sources())


def arguments(metric: str) -> Arguments:
    """What the constructor of a known metric takes, read from its source.

    Args:
        metric: A name of `known_metrics`.
    """
    for node in ast.parse(_sources()[metric].read_bytes()).body:
        if isinstance(node, ast.ClassDef) and node.name == metric:
            for member in node.body:
                if isinstance(member, ast.FunctionDef) and member.name == "__init__":
                    return _arguments_of(member.args)
    return Arguments()


def _arguments_of(signature: ast.arguments) -> Arguments:
    names = [argument.arg for argument in signature.args[1:]]
    keyword_only = [argument.arg for argument in signature.kwonlyargs]
    required = names[: len(names) - len(signature.defaults)] + [
        name for name, default in zip(keyword_only, signature.kw_defaults, strict=True) if default is None
    ]
    known = None if signature.kwarg else tuple(names + keyword_only)
    return Arguments(tuple(required), known)


@functools.cache
def _sources() -> dict[str, Path]:
    """Metric → the file that defines it."""
    tfma = _package("tensorflow_model_analysis")
    tf_keras = _package("tf_keras")
    own = _tfma_metrics(tfma / "metrics") if tfma else {}
    if not own or not tf_keras:
        return {}
    # TFMA looks among its own metrics first.
    known = {**_keras_metrics(tf_keras / "src" / "metrics"), **own}
    return {name: path for name, path in known.items() if not _NOT_ONE_NUMBER.search(name)}


def _package(name: str) -> Path | None:
    """Folder of an installed package. Finding a top-level package does not execute it."""
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


def _tfma_metrics(folder: Path) -> dict[str, Path]:
    # A module registers its metrics when it is imported, so one that is not has none.
    imported = _IMPORTED.findall(_text(folder / "__init__.py"))
    modules = sorted({module or name for module, name in imported})
    paths = [folder / f"{module}.py" for module in modules]
    return {name: path for path in paths for name in _REGISTERED.findall(_text(path))}


def _keras_metrics(folder: Path) -> dict[str, Path]:
    exported = _KERAS_CLASS.findall(_text(folder / "__init__.py"))
    return {
        name: folder / f"{module}.py"
        for module, name in exported
        if module not in _KERAS_BASES and not name.endswith("Base")
    }


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
