"""The commands that build the image, run here: without a container, and without its network.

What `make test` runs takes the locked packages from where the tests have them; the rest is as in the image:
only what COPY copies, a new environment, Paredown built and installed by the Dockerfile's own command, a
user who may write nothing there, another working directory. With PAREDOWN_WHOLE_IMAGE=1 the packages are
installed by the Dockerfile's own commands too, which takes 3 GB and some six minutes:

    PAREDOWN_WHOLE_IMAGE=1 .venv/bin/python -m pytest tests/pipeline/kubeflow/test_image_steps.py
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.kubeflow.conftest import MNIST, ROOT
from tests.pipeline.kubeflow.dockerfile import Stage, copied
from tests.pipeline.kubeflow.specification import Compile
from tests.pipeline.kubeflow.test_dockerfile import BUILD, IGNORED, LAST

WHOLE = os.environ.get("PAREDOWN_WHOLE_IMAGE") == "1"
ENVIRONMENT = "/opt/paredown"
TECHNIQUES = "configs/mnist/techniques.yaml"


@dataclass
class Image:
    """A folder that is the root of a stage's file system, and what its instructions set."""

    folder: Path
    environment: dict[str, str]
    directory: Path

    def path(self, name: str) -> Path:
        """Where an absolute path of the image is here."""
        return self.folder / name.lstrip("/")

    def run(self, command: str) -> None:
        """Runs a RUN instruction's command, with the stage's SHELL."""
        command = command.replace(ENVIRONMENT, str(self.path(ENVIRONMENT)))
        done = subprocess.run(
            ["/bin/bash", "-euo", "pipefail", "-c", command],
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def begin(folder: Path, stage: Stage) -> Image:
    assert stage.all("SHELL")[0].words() == ["/bin/bash", "-euo", "pipefail", "-c"]
    image = Image(folder, {}, folder)
    for name, value in stage.environment().items():
        image.environment[name] = value.replace("$PATH", os.environ["PATH"])
    image.environment = {
        name: value.replace(ENVIRONMENT, str(image.path(ENVIRONMENT)))
        for name, value in image.environment.items()
    }
    # How packages are fetched is the machine's affair.
    image.environment |= {name: os.environ[name] for name in os.environ if name.startswith("PIP_")}
    image.environment.setdefault("HOME", str(folder))
    # Of the stacks, the one that these tests run on.
    image.environment["STACK"] = "py310" if sys.version_info < (3, 11) else "py313"
    image.directory = image.path(stage.all("WORKDIR")[-1].arguments)
    image.directory.mkdir(parents=True)
    for entry in stage.all("COPY"):
        if "from" not in entry.flags():
            for file, target in copied(entry, ROOT, IGNORED):
                (image.directory / target).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, image.directory / target)
    return image


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The last stage, after the build stage's RUN instructions, or those that are cheap."""
    folder = tmp_path_factory.mktemp("image")
    build = begin(folder, BUILD)
    apt, make_environment, packages, program = [entry.arguments for entry in BUILD.all("RUN")]
    assert apt.startswith("apt-get update")
    assert shutil.which("g++") or not WHOLE, "install g++, as the image's build stage does"
    build.environment["PATH"] = f"{Path(sys.executable).parent}:{build.environment['PATH']}"
    build.run(make_environment)
    build.environment["PATH"] = f"{build.path(ENVIRONMENT)}/bin:{build.environment['PATH']}"
    if WHOLE:
        build.run(packages)
    else:
        borrow_packages(build)
    # `pip check` would judge this environment's packages, if they are borrowed.
    build.run(program if WHOLE else program.partition(" && pip check")[0])
    last = begin(folder, LAST)
    last.environment["PYTHONPATH"] = str(last.directory)
    return last


def borrow_packages(build: Image) -> None:
    """Lets the new environment see this one's packages, but for Paredown, which is a link to here."""
    theirs = Path(sysconfig.get_path("purelib"))
    mine = next(build.path(ENVIRONMENT).glob("lib/python3*/site-packages"))
    for path in theirs.iterdir():
        if "paredown" in path.name.lower() or path.name.startswith(("__editable__", "pip", "_virtualenv")):
            continue
        if path.suffix != ".pth" and not (mine / path.name).exists():
            (mine / path.name).symlink_to(path)


def as_a_task(image: Image, *command: str) -> subprocess.CompletedProcess[str]:
    """Runs a command as a pod would: as the image's user, with nothing of this process's environment."""
    user, _, group = LAST.all("USER")[-1].arguments.partition(":")
    prefix: list[str] = []
    if os.getuid() == 0 and shutil.which("setpriv"):
        # It may read what it could not reach here, below root's home; write it may nothing.
        prefix = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups"]
        prefix += ["--bounding-set=-all,+dac_read_search", "--inh-caps=-all,+dac_read_search"]
        prefix += ["--ambient-caps=-all,+dac_read_search"]
    environment = {name: value for name, value in image.environment.items() if not name.startswith("PIP_")}
    environment["HOME"] = "/nonexistent"
    return subprocess.run(
        [*prefix, *command], cwd="/", env=environment, capture_output=True, text=True, timeout=400
    )


def python_of(image: Image) -> str:
    return str(image.path(ENVIRONMENT) / "bin/python")


def test_paredown_is_the_installed_one(image: Image) -> None:
    done = as_a_task(
        image,
        python_of(image),
        "-c",
        "import os, components, pipeline; print(os.getuid(), components.__file__, pipeline.__file__)",
    )
    assert done.returncode == 0, done.stderr
    uid, *files = done.stdout.split()
    assert (
        os.getuid() != 0
        or shutil.which("setpriv") is None
        or uid == LAST.all("USER")[-1].arguments.split(":")[0]
    )
    site_packages = next(image.path(ENVIRONMENT).glob("lib/python3*/site-packages"))
    assert files == [str(site_packages / name / "__init__.py") for name in ("components", "pipeline")]


def files_in(folder: Path, package: str) -> set[Path]:
    return {
        path.relative_to(folder)
        for path in (folder / package).rglob("*")
        if path.is_file() and not {"__pycache__", "node_modules"} & {*path.parts}
    }


def test_everybody_may_read_what_is_installed_and_every_file_is(image: Image) -> None:
    site_packages = next(image.path(ENVIRONMENT).glob("lib/python3*/site-packages"))
    for package in ("components", "pipeline"):
        assert files_in(site_packages, package) == files_in(ROOT, package)
        for path in (site_packages / package).rglob("*"):
            assert path.stat().st_mode & 0o004, path


def test_the_users_task_may_write_nothing_there(image: Image) -> None:
    done = as_a_task(image, "/bin/sh", "-c", f"touch {image.path(ENVIRONMENT)}/bin/python")
    if os.getuid() == 0 and shutil.which("setpriv"):
        assert "Permission denied" in done.stderr
    for program in ("pip", "g++"):  # built by root, and no compiler of the stage's own
        assert not (image.path(ENVIRONMENT) / "bin" / program).is_symlink()


@pytest.mark.timeout(900)
def test_every_executor_of_a_compiled_pipeline_can_be_imported(
    image: Image, compiled: Compile, tmp_path: Path
) -> None:
    """As the Dockerfile's last RUN instruction does, with the pipeline that was compiled outside."""
    (check,) = [entry.arguments for entry in LAST.all("RUN") if "image-check" in entry.arguments]
    assert f"paredown compile {TECHNIQUES} " in check
    done_compiling = compiled(TECHNIQUES, "kubeflow")
    spec = image.folder / "techniques.yaml"
    spec.write_text(done_compiling.text(), encoding="utf-8")
    for folder in (image.folder, *image.folder.parents):
        if folder.owner() == Path(image.folder).owner() and folder != Path("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o055)
    done = as_a_task(image, f"{image.path(ENVIRONMENT)}/bin/paredown", "image-check", str(spec), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    containers = [
        entry["container"] for entry in done_compiling.spec["deploymentSpec"]["executors"].values()
    ]
    classes = {entry["args"][entry["args"].index("--executor_class_path") + 1] for entry in containers}
    assert found == {"tasks": len(containers), "classes": sorted(classes), "faults": []}
    assert {
        "components.pruner.executor.Executor",
        "tfx.components.schema_gen.executor.Executor",
    } <= classes


@pytest.mark.timeout(400)
def test_a_tasks_command_runs_in_it(image: Image, compiled: Compile) -> None:
    """What the specification says is started; without an input it ends by saying so."""
    container = next(
        entry["container"]
        for entry in compiled(MNIST, "kubeflow").spec["deploymentSpec"]["executors"].values()
        if "components.selector.executor.Executor" in entry["container"]["args"]
    )
    program, *command = container["command"]
    assert program == "python"
    arguments = [part.replace("{{$}}", "{}") for part in container["args"]]
    done = as_a_task(image, python_of(image), *command, *arguments)
    last: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 2, done.stderr
    assert last["node"] == "selector"
    assert "is not an ExecutorInput" in last["message"]


def test_both_targets_ask_the_same_of_the_image(compiled: Compile, tmp_path: Path) -> None:
    from pipeline.kubeflow.image_check import read_tasks

    found = {}
    for target in ("kubeflow", "vertex"):
        path = tmp_path / target
        path.write_text(compiled(MNIST, target).text(), encoding="utf-8")
        found[target] = [(task.task, task.command, task.executor) for task in read_tasks(path)]
        versions = [task.parameters.get("code_version") for task in read_tasks(path)]
        assert len([version for version in versions if version]) > 10
        modules = {task.model_module() for task in read_tasks(path)}
        assert modules == {None, "configs.mnist.model"}
    assert found["kubeflow"] == found["vertex"]
