"""Compiled pipelines, made once: every config of configs/ for both targets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
CONFIGS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "configs").glob("**/*.yaml"))
MNIST = "configs/mnist/pipeline.yaml"
TARGETS = ("kubeflow", "vertex")
IMAGE = "registry.example.com/team/paredown:1.0"
PIPELINE_ROOT = "gs://bucket/paredown"


def compile_here(config: str, target: str, *overrides: str, **options: Any) -> Any:
    """Compiles a config as `paredown compile` does, in this process.

    Args:
        config: Its path.
        target: `kubeflow` or `vertex`.
        *overrides: `key=value`.
        **options: `root` (pipeline root), `only` (candidates).

    Returns:
        A `pipeline.kubeflow.compiled.Compiled`.
    """
    from pipeline.config.config_file import load
    from pipeline.kubeflow import checks as kubeflow_checks
    from pipeline.kubeflow import parameters as kubeflow_parameters
    from pipeline.kubeflow import runner as kubeflow_runner
    from pipeline.kubeflow.module_folder import image_module_root
    from pipeline.plan.plan import make_plan

    file = load(config, list(overrides))
    root = options.get("root", PIPELINE_ROOT)
    whole = make_plan(file.config, file.path)
    problems = kubeflow_checks.check(file, whole, target, IMAGE, root)  # type: ignore[arg-type]
    assert problems == []
    if "only" in options:
        whole = make_plan(file.config.only(options["only"]), file.path)
    return kubeflow_runner.compile_plan(
        whole,
        file.config,
        target,  # type: ignore[arg-type]
        IMAGE,
        root,
        kubeflow_parameters.run_parameters(whole, file.config, "0123"),
        image_module_root(file.config, file.path),
    )


@pytest.fixture(scope="session")
def compiled() -> Callable[..., Any]:
    """`compile_here`, which remembers what it has compiled."""
    known: dict[Any, Any] = {}

    def get(config: str = MNIST, target: str = "kubeflow", *overrides: str, **options: Any) -> Any:
        key = (config, target, overrides, repr(options))
        if key not in known:
            known[key] = compile_here(config, target, *overrides, **options)
        return known[key]

    return get
