"""An app as it is written: what it holds, and what is refused before anything is written."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipeline.cli.federate import federate
from pipeline.config.problem import InvalidInput
from pipeline.federate.export import REQUIREMENTS, ExportError

FEDERATED = "configs/federated/pipeline.yaml"


def export(output: Path, *sets: str, config: str = FEDERATED) -> Result:
    arguments = [
        "export",
        config,
        "-o",
        str(output),
        "--json",
        *(part for one in sets for part in ("--set", one)),
    ]
    return CliRunner().invoke(federate, arguments)


def test_an_app_holds_all_that_it_imports_and_nothing_of_tfx(tmp_path: Path) -> None:
    app = tmp_path / "app"
    app.mkdir()  # empty
    done = export(app, "model.train.seed=5", "model.train.learning_rate=0.002")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["nodes"] == 10 and said["files"] == sorted(
        str(path.relative_to(app)) for path in app.rglob("*") if path.is_file()
    )
    settings = json.loads((app / "paredown_app/settings.json").read_text())
    assert (settings["seed"], settings["learning_rate"], settings["batch_size"]) == (5, 0.002, 64)
    assert settings["hparams"]["filters"] == [16, 32] and settings["federated"]["rounds"] == 12
    assert (app / "configs/mnist/model.py").read_bytes() == Path("configs/mnist/model.py").read_bytes()
    project = (app / "pyproject.toml").read_text()
    assert all(f'"{one}"' in project for one in REQUIREMENTS) and "nodes = 10 " in project
    for path in app.rglob("*.py"):
        for node in ast.parse(path.read_text()).body:  # not those of type checkers
            named = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            named += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in named:
                top = name.partition(".")[0]
                assert top not in {"tfx", "pipeline", "apache_beam", "tensorflow_model_optimization"}, path
                if top == "components" and name != "components":
                    base = app.joinpath(*name.split("."))
                    assert base.with_suffix(".py").exists() or base.is_dir(), (path, name)


@pytest.mark.parametrize(
    ("config", "sets", "said"),
    [
        (
            "configs/mnist/pipeline.yaml",
            [],
            "an app trains the clients of model.train.federated, and there is none",
        ),
        (
            FEDERATED,
            ["model.train.federated.updates.compress=none", "model.train.federated.secure_sum=true"],
            "model.train.federated.secure_sum: simulates the agreement on keys",
        ),
        (
            FEDERATED,
            ["model.train.federated.batch_norm=local"],
            "model.train.federated.batch_norm: local keeps layers on the clients",
        ),
        (FEDERATED, ["model.optimizer=SGD"], "model.optimizer: an app compiles as build_model does"),
        (
            FEDERATED,
            ["data.class_weights=balanced"],
            "data.class_weights: an app reads labels as the loss takes them",
        ),
    ],
)
def test_what_real_clients_cannot_do_is_refused(
    config: str, sets: list[str], said: str, tmp_path: Path
) -> None:
    done = export(tmp_path / "app", *sets, config=config)
    assert isinstance(done.exception, InvalidInput) and said in str(done.exception)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_used_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    done = export(tmp_path)
    assert isinstance(done.exception, ExportError) and "is not empty: it contains notes.txt" in str(
        done.exception
    )
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
