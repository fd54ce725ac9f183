"""Projects that `paredown init` makes, with the program installed from its wheel and without this repository.

The environment is a new one: the wheel, and links to the packages of this one; nothing in it, and nothing in
what it runs, leads back here. One template is run there; `make soak` runs all of them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.e2e.project import Project, empty_project
from tests.e2e.warm import REPOSITORY, Outcome, warm

pytestmark = pytest.mark.e2e


@dataclass(frozen=True)
class Installation:
    """An environment with the program in it.

    Attributes:
        root: Root of the environment.
        wheel: What was installed.
    """

    root: Path
    wheel: Path

    def run(self, folder: Path, program: str, *arguments: str) -> Outcome:
        environment = {
            name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "COLUMNS")
        }
        done = subprocess.run(
            [str(self.root / "bin" / program), *arguments],
            cwd=folder,
            env={**environment, "NO_COLOR": "1", "PATH": f"{self.root}/bin:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=900,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def paredown(self, folder: Path, *arguments: str) -> Outcome:
        return self.run(folder, "paredown", *arguments)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """The program, installed from its wheel."""
    root = tmp_path_factory.mktemp("installed")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    # A copy: builds leave things beside the sources, which the next one would pack.
    sources = root / "sources"
    for folder in ("components", "pipeline"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / folder, sources / folder, ignore=ignored)
    for name in ("setup.py", "pyproject.toml", "README.md"):
        shutil.copy(REPOSITORY / name, sources / name)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-index", "--no-build-isolation", "-q"]
    subprocess.run([*build, "--wheel-dir", str(root), str(sources)], check=True, cwd=root, env=environment)
    (wheel,) = root.glob("paredown-*.whl")
    venv.create(root / "env", with_pip=False)
    packages = next((root / "env").glob("lib/python3*/site-packages"))
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if (
            "paredown" not in path.name.lower()
            and path.suffix != ".pth"
            and "__editable__" not in path.name
        ):
            (packages / path.name).symlink_to(path)
    install = [sys.executable, "-m", "pip", "--python", str(root / "env/bin/python"), "install", "-q"]
    subprocess.run([*install, "--no-deps", "--no-index", str(wheel)], check=True, cwd=root, env=environment)
    return Installation(root / "env", wheel)


def new_project(installed: Installation, folder: Path, template: str) -> Path:
    made = installed.paredown(folder, "init", template, "--template", template)
    assert made.code == 0, made.err
    return folder / template


def run(installed: Installation, project: Path, *arguments: str) -> dict[str, Any]:
    ran = installed.paredown(project, "run", "pipeline.yaml", "--json", *arguments)
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def compile_for(installed: Installation, project: Path, target: str, output: str) -> None:
    arguments = ["--image", "example.com/image:1", "--pipeline-root", "gs://bucket/root", "-o", output]
    compiled = installed.paredown(project, "compile", "pipeline.yaml", "--target", target, *arguments)
    assert compiled.code == 0, compiled.err


def finish(installed: Installation, project: Path) -> dict[str, Any]:
    """Does all that a project can, and compiles it for Kubeflow, with executors that its image would find."""
    for command in ("validate", "plan"):
        outcome = installed.paredown(project, command, "pipeline.yaml")
        assert outcome.code == 0, outcome.err
    result = run(installed, project)
    compile_for(installed, project, "kubeflow", "compiled.yaml")
    checked = installed.paredown(project, "image-check", "compiled.yaml")
    assert checked.code == 0, checked.out + checked.err
    shown = installed.paredown(project, "lineage", "serving")
    assert shown.code == 0 and shown.out.startswith("ok: "), shown.out + shown.err
    tests = installed.run(project, "python", "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert tests.code == 0, tests.out
    return result


def test_the_program_is_the_installed_one(installed: Installation, tmp_path: Path) -> None:
    code = (
        "import components, paredown, pipeline, sys; paredown.load; "
        "print(components.__path__[0], pipeline.__path__[0], paredown.__path__[0], *sys.path)"
    )
    places = installed.run(tmp_path, "python", "-c", code).out.split()
    assert len(places) > 3
    assert all(place.startswith(str(installed.root)) for place in places[:3])
    assert not [place for place in places if Path(place) == REPOSITORY]
    with zipfile.ZipFile(installed.wheel) as archive:
        names = archive.namelist()
    for stack in ("py310", "py313"):
        assert f"pipeline/project/templates/common/requirements/{stack}.lock" in names
    assert not [name for name in names if name.startswith(("tests/", "configs/", "data/"))]


def test_images(installed: Installation, tmp_path: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter
    from PIL import Image

    project = new_project(installed, tmp_path, "image")
    result = run(installed, project, "--only", "int8")
    assert result["candidates"][result["winner"]]["measured"]["accuracy"]["candidate"] > 0.6
    pushed = Path(result["pushed"])
    labels = (pushed / "labels.txt").read_text(encoding="utf-8").split()
    assert labels == sorted(path.name for path in (project / "data").iterdir())
    runner = Interpreter(str(pushed / "tflite")).get_signature_runner("serving_default")
    right, files = 0, sorted((project / "data").glob("*/*.png"))[::5]
    for file in files:
        pixels = np.asarray(Image.open(file), np.int32).reshape(1, 28, 28, 1)
        (probabilities,) = runner(image=(pixels - 128).astype(np.int8)).values()
        right += labels[int(np.argmax(probabilities))] == file.parent.name
    assert right / len(files) > 0.7


def init(folder: Path, template: str) -> Project:
    made = empty_project(folder).paredown("init", "made", "--template", template)
    assert made.code == 0, made.err
    return empty_project(folder / "made")


def test_the_tests_of_a_project_pass(tmp_path: Path) -> None:
    project = init(tmp_path, "image")
    options = ("-q", "-p", "no:cacheprovider")
    outcome = warm().start(
        options, project.root, project.environment, str(Path(pytest.__path__[0], "__main__.py"))
    )
    done = outcome.outcome()
    assert done.code == 0, done.out
    assert "3 passed" in done.out


def test_a_package_called_as_one_of_the_programs_is_not_compiled(tmp_path: Path) -> None:
    """It is none of a run's business, but a cluster's tasks would import it."""
    project = init(tmp_path, "image")
    (project.root / "components").mkdir()
    (project.root / "components" / "__init__.py").write_text("raise ImportError('not this one')\n")
    arguments = ["--image", "example.com/image:1", "--pipeline-root", "gs://bucket/root"]
    refused = project.paredown("compile", "pipeline.yaml", *arguments)
    assert refused.code == 2 and "components would hide Paredown's own package 'components'" in refused.err


@pytest.mark.parametrize("template", ["tabular", "import"])
def test_what_a_template_will_do_is_explained_and_compiled(template: str, tmp_path: Path) -> None:
    project = init(tmp_path, template)
    explained = project.paredown("explain", "pipeline.yaml", "--json")
    assert explained.code == 0, explained.err
    candidates = explained.json()["candidates"]
    assert set(candidates) == {"int8", "pruned-int8" if template == "tabular" else "dynamic"}
    config = yaml.safe_load((project.root / "pipeline.yaml").read_text(encoding="utf-8"))
    for candidate in candidates.values():  # the limit on size is not a surprise at the end of the first run
        assert candidate["predicted_ratio"] < config["gate"]["size"]["max_ratio"]
    arguments = ["--image", "example.com/image:1", "--pipeline-root", "gs://bucket/root", "-o", "-"]
    compiled = project.paredown("compile", "pipeline.yaml", *arguments)
    assert compiled.code == 0, compiled.err
    tasks = yaml.safe_load(compiled.out)["root"]["dag"]["tasks"]
    assert ("trainer" in tasks) == (template == "tabular") and "pusher" in tasks


@pytest.mark.soak
def test_all_that_an_image_project_can(installed: Installation, tmp_path: Path) -> None:
    finish(installed, new_project(installed, tmp_path, "image"))


@pytest.mark.soak
def test_a_table(installed: Installation, tmp_path: Path) -> None:
    project = new_project(installed, tmp_path, "tabular")
    result = finish(installed, project)
    compile_for(installed, project, "vertex", "compiled.json")
    accuracy = result["candidates"]["int8"]["measured"]["accuracy"]
    assert accuracy["metric"] == "AUC" and accuracy["baseline"] > 0.75
    assert {entry["slice"] for entry in accuracy["slices"]} >= {
        "payment_type=Cash",
        "payment_type=Credit Card",
    }
    assert (Path(result["pushed"]) / "saved_model.pb").is_file()


@pytest.mark.soak
def test_an_existing_model(installed: Installation, tmp_path: Path) -> None:
    project = new_project(installed, tmp_path, "import")
    result = finish(installed, project)
    assert "Trainer" not in result["nodes"]
    assert result["candidates"]["int8"]["measured"]["accuracy"]["baseline"] > 0.95
    tasks = yaml.safe_load((project / "compiled.yaml").read_text(encoding="utf-8"))["root"]["dag"]["tasks"]
    assert not [name for name in tasks if "trainer" in name]
