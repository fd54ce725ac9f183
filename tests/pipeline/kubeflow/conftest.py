"""Compiled pipelines, made once: every config of configs/ for both targets; and a server to submit them to."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pipeline.cli import main
from pipeline.kubeflow import server as kubeflow_server
from pipeline.kubeflow import watch as kubeflow_watch
from tests.pipeline.kubeflow import api_server, small_pipeline
from tests.pipeline.kubeflow.api_server import ApiServer

ROOT = Path(__file__).resolve().parents[3]
# One with several targets is compiled for one of them, and a search not at all.
CONFIGS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "configs").glob("**/*.yaml")
    if not re.search("^(targets|search):", path.read_text(encoding="utf-8"), re.MULTILINE)
)
MNIST = "configs/mnist/pipeline.yaml"
TARGETS = ("kubeflow", "vertex")
IMAGE = "registry.example.com/team/paredown:1.0"
PIPELINE_ROOT = "gs://bucket/paredown"
TOKEN = "a-token-that-nobody-may-see"

Submit = Callable[..., Result]


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
    from pipeline.plan.planner import make_plan

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


@pytest.fixture
def server(fast: None) -> Iterator[ApiServer]:
    with api_server.running() as started:
        yield started


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of the person who runs the tests, and short pauses."""
    for name in list(os.environ):
        if name.startswith(("KF_PIPELINES_", "PAREDOWN_KFP_")):
            monkeypatch.delenv(name)
    import kfp

    monkeypatch.setattr(kfp.Client, "_LOCAL_KFP_CONTEXT", str(tmp_path / "no" / "context.json"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "no" / "kubeconfig"))
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.setattr(kubeflow_server, "_BACKOFF_SECONDS", 0.01)
    monkeypatch.setattr(kubeflow_watch, "_OUTAGE_SECONDS", 0.3)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with a file for each split."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "train.gz").write_bytes(b"one")
    (folder / "test.gz").write_bytes(b"two")
    return folder


@pytest.fixture(scope="session")
def pipeline_text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The file of `small_pipeline`."""
    return small_pipeline.write(tmp_path_factory.mktemp("compiled") / "mnist.yaml")


@pytest.fixture
def compiled_file(pipeline_text: str, tmp_path: Path) -> Path:
    path = tmp_path / "mnist.yaml"
    path.write_text(pipeline_text, encoding="utf-8")
    return path


@pytest.fixture
def submit(server: ApiServer, compiled_file: Path) -> Submit:
    """Calls the command with the file and the server's address."""

    def call(*arguments: str) -> Result:
        given = [str(compiled_file), "--poll-interval", "0.01s", *arguments]
        if "--host" not in arguments:
            given += ["--host", server.url]
        return CliRunner().invoke(main, ["submit", *given])

    return call


def run_of(server: ApiServer) -> Any:
    (run,) = server.state.runs.values()
    return run


def refusal(result: Result) -> str:
    """The one line of an error."""
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    (line,) = result.stderr.splitlines()
    return line
