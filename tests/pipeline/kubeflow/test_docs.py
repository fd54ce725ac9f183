"""docs/kubeflow.md and docs/beam.md: the program accepts the commands in them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from pipeline.cli import main
from pipeline.config.config_file import load
from tests.pipeline.kubeflow.conftest import MNIST, ROOT
from tests.pipeline.kubeflow.test_dockerfile import LAST

DOC = (ROOT / "docs/kubeflow.md").read_text(encoding="utf-8")
ALL = DOC + (ROOT / "docs/beam.md").read_text(encoding="utf-8")


def blocks(language: str, text: str = DOC) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def lines() -> list[str]:
    """Commands of the shell blocks, each on one line."""
    return [
        line
        for block in blocks("sh", ALL)
        for line in re.sub(r"\\\n\s*", "", block).splitlines()
        if line.strip() and not line.startswith("#")
    ]


def paredown_commands() -> list[tuple[str, ...]]:
    """Arguments of `paredown`, also if it runs in a container, and of those in the text."""
    found = []
    for line in lines():
        words = shlex.split(line.rstrip("& "))
        if "paredown" in words:
            found.append(tuple(words[words.index("paredown") + 1 :]))
    found += [tuple(shlex.split(text)) for text in re.findall(r"`paredown (\w[\w-]*(?: --[\w-]+)*)`", ALL)]
    return list(dict.fromkeys(found))


COMMANDS = paredown_commands()


def options_of(arguments: tuple[str, ...]) -> dict[str, Any]:
    """Parses a command line with click; raises click's error."""
    name, *rest = arguments
    command = main.get_command(click.Context(main), name)
    assert command is not None
    if "--help" in rest:
        rest.remove("--help")
        assert command.get_help(click.Context(command, info_name=name))
        return {}
    if not rest and name != "schema":  # in the text, a command's name alone
        return {}
    with command.make_context(name, rest) as context:
        return dict(context.params)


def test_the_commands_of_each_step_are_found() -> None:
    assert {arguments[0] for arguments in COMMANDS} >= {
        "compile",
        "image-check",
        "inspect",
        "lineage",
        "run",
        "submit",
        "validate",
    }
    assert sum(arguments[0] == "submit" for arguments in COMMANDS) >= 2


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda words: " ".join(words)[:60])
def test_the_program_takes_it(arguments: tuple[str, ...]) -> None:
    options = options_of(arguments)
    for name in ("config", "source"):
        path = options.get(name)
        if path is not None and str(path).startswith("configs/"):
            assert (ROOT / path).is_file()


COMPILED = [arguments for arguments in COMMANDS if arguments[0] == "compile" and len(arguments) > 1]


@pytest.mark.parametrize("arguments", COMPILED, ids=lambda words: " ".join(words)[:60])
def test_what_is_to_be_compiled_is_refused_for_nothing(arguments: tuple[str, ...]) -> None:
    from pipeline.kubeflow.compile import problems_of

    options = options_of(arguments)
    file = load(options["config"], list(options["overrides"]))
    found = problems_of(
        file, options["target"], options["image"], options["pipeline_root"], options["output"]
    )
    assert [str(problem) for problem in found] == []


def test_what_is_submitted_is_what_was_compiled() -> None:
    written = {options_of(arguments)["output"] for arguments in COMPILED}
    submitted = {words[1] for words in COMMANDS if words[0] == "submit" and len(words) > 2}
    assert submitted
    assert submitted <= written


def test_the_parameters_of_a_run_are_those_that_it_names() -> None:
    from pipeline.kubeflow.parameters import run_parameters
    from pipeline.plan.planner import make_plan

    file = load(MNIST)
    names = {
        parameter.name for parameter in run_parameters(make_plan(file.config, file.path), file.config, "")
    }
    (reported,) = re.findall(r"^Parameters of a run are (.*)\.$", DOC, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", reported)) == names
    given = {word.partition("=")[0] for words in COMMANDS for word in words if re.match(r"\w+=\w+$", word)}
    assert given <= names


def test_the_options_of_a_node_are_all_explained() -> None:
    from pipeline.config.kubeflow_options import NodeOptions

    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| ", DOC, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(NodeOptions.model_fields)


def documents() -> dict[str, dict[str, Any]]:
    """Kind of each Kubernetes object, and `config` → it."""
    found = {}
    for block in blocks("yaml"):
        for document in yaml.safe_load_all(block):
            found[document.get("kind", "config")] = document
    return found


def test_the_configs_section_is_valid_and_of_the_volume_that_is_made() -> None:
    from pipeline.config.config import Config
    from pipeline.kubeflow.checks import check
    from pipeline.plan.planner import make_plan

    section = documents()["config"]["kubeflow"]
    file = load(MNIST, [f"kubeflow={section}"])
    assert isinstance(file.config, Config)
    plan = make_plan(file.config, file.path)
    assert check(file, plan, "kubeflow", "registry.example.com/a:1", "minio://mlpipeline/paredown") == []
    claim, pod = documents()["PersistentVolumeClaim"], documents()["Pod"]
    (volume,) = section["volumes"]
    assert volume["claim"] == claim["metadata"]["name"]
    assert [entry["persistentVolumeClaim"]["claimName"] for entry in pod["spec"]["volumes"]] == [
        volume["claim"]
    ]
    containers = pod["spec"]["initContainers"] + pod["spec"]["containers"]
    for container in containers:
        assert container["volumeMounts"] == [
            {"name": pod["spec"]["volumes"][0]["name"], "mountPath": volume["mount"]}
        ]
    filled = containers[0]["args"][-1]
    assert filled == section["data_path"]
    assert claim["metadata"]["namespace"] == pod["metadata"]["namespace"] == "kubeflow"


def test_the_image_is_described_as_it_is() -> None:
    uid, _, gid = LAST.all("USER")[-1].arguments.partition(":")
    assert f"user {uid} of group {gid}" in DOC
    assert f"`USER {uid}:{gid}`" in DOC
    (dockerfile,) = blocks("dockerfile")
    assert dockerfile.splitlines()[0] == "FROM registry.example.com/team/paredown:1.0"
    assert set(re.findall(r"registry\.example\.com/[\w/:.-]+\d", DOC)) == {
        "registry.example.com/team/paredown:1.0"
    }


def test_make_has_the_targets_that_it_names() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    used = {words[-1] for words in map(shlex.split, lines()) if words[0] == "make"}
    assert used == {"image"}
    assert re.search(r"^image:", makefile, re.MULTILINE)


def test_its_files_and_links_are_there() -> None:
    for name in re.findall(r"\]\((?!https?:)([^)#]+)\)", DOC):
        assert (ROOT / "docs" / name).exists(), name
    for name in re.findall(
        r"(?:configs|data)/[\w/.]+\w", DOC.replace("/paredown/data", "").replace("mnt", "")
    ):
        assert (ROOT / name).exists() or name.startswith("data/mnist"), name


def test_the_test_that_it_names_is_there() -> None:
    (variable, path) = re.findall(r"`(\w+)=1 python -m pytest ([\w/.]+)`", DOC)[0]
    assert variable in (ROOT / path).read_text(encoding="utf-8")


def test_readme_leads_here() -> None:
    readme = Path(ROOT / "README.md").read_text(encoding="utf-8")
    assert "docs/kubeflow.md" in readme
