"""Relative paths of a config go by its folder, whatever the working directory is."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.checks.config_checks import check
from pipeline.config.config_file import load
from pipeline.plan.model_source import find_module
from tests.project import ROOT, Project, config_text


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project without data."""
    return Project(tmp_path, monkeypatch)


@pytest.fixture
def inner(project: Project) -> Project:
    """A project whose config is in conf/, below the working directory, and whose data are beside that."""
    text = config_text(
        data="{path: ../data, splits: {train: 'train*', eval: 'eval*'}, label: label}",
        push="{directory: serving}",
        run="{pipeline_root: ~/runs, metadata: 'sqlite:///store.db'}",
    )
    project.write("conf/pipeline.yaml", text.replace("MODULE", project.module))
    for split in ("train", "eval"):
        project.write(f"data/{split}.tfrecord", "x")
    return project


def test_paths_are_those_of_the_configs_folder(inner: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    config = load("conf/pipeline.yaml").config
    assert config.data.path == "data"
    assert config.push.directory == "conf/serving"
    assert config.run.pipeline_root == "/home/someone/runs"
    assert config.run.metadata == "sqlite:///conf/store.db"
    # From elsewhere it is the same folder.
    monkeypatch.chdir("/")
    config = load(inner.root / "conf" / "pipeline.yaml").config
    assert Path(config.data.path).resolve() == inner.root / "data"
    # In the config's own folder, paths are as written.
    monkeypatch.chdir(inner.root / "conf")
    config = load("pipeline.yaml").config
    assert (config.data.path, config.push.directory) == ("../data", "serving")


def test_paths_of_set_go_by_the_working_directory(inner: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    config = load("conf/pipeline.yaml", ["data.path=elsewhere", "push={directory: ~/out}"]).config
    assert (config.data.path, config.push.directory) == ("elsewhere", "/home/someone/out")


@pytest.mark.parametrize(
    ("model", "values"),
    [
        ("{import: m.h5}", {"path": "conf/m.h5"}),
        ("{import: {path: ../m.h5}}", {"path": "m.h5"}),
        ("{import: {weights: w.h5}, module: MODULE}", {"weights": "conf/w.h5"}),
    ],
)
def test_paths_of_models(project: Project, model: str, values: dict[str, str]) -> None:
    text = config_text(model=model).replace("MODULE", project.module)
    project.write("conf/pipeline.yaml", text)
    imported = load("conf/pipeline.yaml").config.model.imported
    assert imported is not None
    assert {key: getattr(imported, key) for key in values} == values


def test_urls_absolute_paths_and_names_of_weights_stay(project: Project) -> None:
    weights = "{module: MODULE, pretrained: {application: MobileNetV2, weights: imagenet, cut_at: x}}"
    text = config_text(
        data="{path: /data, splits: {train: 'train*', eval: 'eval*'}, label: label}",
        model=weights,
        push="{directory: 'gs://bucket/x'}",
    )
    project.write("conf/pipeline.yaml", text.replace("MODULE", project.module))
    config = load("conf/pipeline.yaml").config
    assert (config.data.path, config.push.directory) == ("/data", "gs://bucket/x")
    assert config.model.pretrained is not None and config.model.pretrained.weights == "imagenet"


def test_a_path_of_the_working_directory_is_refused_with_what_to_write(inner: Project) -> None:
    text = (inner.root / "conf/pipeline.yaml").read_text(encoding="utf-8")
    inner.write("conf/pipeline.yaml", text.replace("path: ../data", "path: data"))
    problems = [problem for problem in check(load("conf/pipeline.yaml")) if problem.key() == "data.path"]
    assert [problem.message for problem in problems] == [
        "there is no folder conf/data; relative paths are relative to the folder of the config, so write ../data"
    ]


def test_modules_are_looked_up_in_the_configs_folder_first(inner: Project) -> None:
    for folder in (".", "conf"):
        inner.write(f"{folder}/both.py", "")
    inner.write("here.py", "")
    assert find_module("both", "conf/pipeline.yaml") == inner.root / "conf/both.py"
    assert find_module("here", "conf/pipeline.yaml") == inner.root / "here.py"


@pytest.mark.parametrize("config", sorted(ROOT.glob("configs/*/*.yaml")), ids=lambda path: path.stem)
def test_shipped_configs_mean_the_same_from_anywhere(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    here = load(config).config
    # The clients of configs/federated have MNIST's digits.
    digits = {"federated": "mnist"}.get(config.parent.name, config.parent.name)
    assert here.data.path == f"data/{digits}"
    assert here.push.directory.startswith(f"serving/{config.parent.name}")
    monkeypatch.chdir(config.parent)
    assert Path(load(config.name).config.data.path).resolve() == ROOT / here.data.path
