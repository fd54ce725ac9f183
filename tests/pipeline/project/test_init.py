"""New projects, as far as it goes without TensorFlow. tests/e2e/test_new_projects.py runs them."""

from __future__ import annotations

import os
import stat
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from components.targets.registry import TARGETS
from pipeline.checks import target_checks
from pipeline.cli import main
from pipeline.config import config_file
from pipeline.config.config import Config
from pipeline.project.template import TEMPLATES, ProjectError, create, name_of

ROOT = Path(__file__).resolve().parents[3]
DATA = {"image": "data/", "tabular": "data/trips.csv", "import": "data/"}


def init(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["init", *map(str, arguments)])


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_project_has_all_its_files_and_a_config_of_its_name(template: str, tmp_path: Path) -> None:
    result = init(tmp_path / "My Flowers", "--template", template)
    assert result.exit_code == 0, result.output
    project = tmp_path / "My Flowers"
    expected = {
        ".dockerignore", ".gitignore", "Dockerfile", "README.md", "conftest.py", "pipeline.yaml",
        "requirements/py310.lock", "requirements/py313.lock", "tests/test_project.py", DATA[template],
        *({"digits.h5", "make_model.py"} if template == "import" else {"model.py"}),
    }  # fmt: skip
    assert set(result.output.splitlines()[1 : len(expected) + 1]) == {f"  {name}" for name in expected}
    assert all((project / name).exists() for name in expected)
    config = config_file.load(project / "pipeline.yaml").config
    assert config.name == "my-flowers"
    assert_any_processor_will_do(config)
    for lock in ("requirements/py310.lock", "requirements/py313.lock"):
        assert (project / lock).read_bytes() == (ROOT / lock).read_bytes()
    assert f"wheels/paredown-{metadata.version('paredown')}-*.whl" in (project / "Dockerfile").read_text()
    # It is not on an index.
    assert not [path for path in project.rglob("*") if "paredown==" in text_of(path)]
    assert "cd '" in result.output and "paredown validate pipeline.yaml" in result.output
    assert stat.S_IMODE(project.stat().st_mode) == 0o777 & ~umask()
    assert [path.name for path in tmp_path.iterdir()] == ["My Flowers"]
    left = [path for path in project.rglob("*") if path.suffix in (".j2", ".zip") or "{{" in text_of(path)]
    assert left == []


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_project_for_a_target_is_one_that_the_target_can_run(template: str, tmp_path: Path) -> None:
    for kind in TARGETS:
        result = init(tmp_path / kind, "--template", template, "--target", kind)
        assert result.exit_code == 0, result.output
        file = config_file.load(tmp_path / kind / "pipeline.yaml")
        assert file.config.target.kind == kind
        assert list(target_checks.check(file.config)) == []
        assert ("with-web" in (tmp_path / kind / "Dockerfile").read_text()) == (kind == "web")
    plain = tmp_path / "plain"
    init(plain, "--template", template)
    config = config_file.load(plain / "pipeline.yaml").config
    assert config.target.kind == "mobile" and "target" not in (plain / "pipeline.yaml").read_text()


def assert_any_processor_will_do(config: Config) -> None:
    """Which of two files is faster depends on the processor: a first run must not end with that."""
    latency = config.gate.latency
    assert (latency.max_ratio, latency.max_drop, latency.min) == (None, None, None)
    assert latency.max is None or latency.max >= 20
    for limits in (config.gate.throughput, config.gate.p99):
        assert (limits.min, limits.max, limits.max_drop) == (None, None, None)
        assert (limits.min_ratio or 0) <= 0.02 and (limits.max_ratio or 50) >= 50


@pytest.mark.parametrize("path", sorted((ROOT / "configs").rglob("*.yaml")), ids=lambda path: path.name)
def test_no_example_fails_on_another_processor(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert_any_processor_will_do(config_file.load(path).config)


def umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def text_of(path: Path) -> str:
    return "" if path.is_dir() or path.suffix in (".png", ".h5") else path.read_text(encoding="utf-8")


def test_the_images_are_of_all_classes() -> None:
    with zipfile.ZipFile(ROOT / "pipeline/project/templates/image/data.zip") as archive:
        folders = [name.partition("/")[0] for name in archive.namelist()]
        assert all(archive.read(name).startswith(b"\x89PNG") for name in archive.namelist())
    assert len(set(folders)) == 10 and {folders.count(name) for name in folders} == {48}


def test_the_templates_are_listed() -> None:
    result = init("--list")
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.output.splitlines()] == list(TEMPLATES)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    result = init(tmp_path)
    assert result.exit_code == 2
    assert (
        f"{tmp_path} is not empty: it contains notes.txt; name a new folder, because nothing is overwritten"
        in result.output
    )
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    result = init(tmp_path / "notes.txt")
    assert result.exit_code == 2 and "exists and is not a folder" in result.output
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert init(tmp_path / "link").exit_code == 2


def test_an_empty_folder_will_do(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    assert init(tmp_path / "new").exit_code == 0
    assert (tmp_path / "new" / "pipeline.yaml").is_file()
    assert init(tmp_path / "a" / "b" / "deep").exit_code == 0
    assert config_file.load(tmp_path / "a/b/deep/pipeline.yaml").config.name == "deep"


@pytest.mark.tf
def test_steps_that_train_can_be_added_to_an_imported_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert init(tmp_path / "new", "--template", "import").exit_code == 0
    monkeypatch.chdir(tmp_path / "new")
    steps = "candidates.int8=[{prune: {sparsity: 0.5, epochs: 1}}, {convert: {quantization: int8}}]"
    result = CliRunner().invoke(main, ["validate", "pipeline.yaml", "--set", steps])
    assert result.exit_code == 0, result.output


def test_the_working_directory_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir(mode=0o750)
    monkeypatch.chdir(tmp_path / "here")
    result = init(".")
    assert result.exit_code == 0, result.output
    assert "  cd " not in result.output
    assert config_file.load("pipeline.yaml").config.name == "here"
    assert not [path.name for path in Path().iterdir() if path.name.startswith(".paredown-")]
    assert stat.S_IMODE((tmp_path / "here").stat().st_mode) == 0o750


def test_an_empty_folder_stays_empty_if_it_cannot_be_filled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Path.rename

    def full(path: Path, target: Path) -> Path:
        if path.name == "model.py":
            raise OSError(28, "No space left on device")
        return plain(path, target)

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(ProjectError, match="cannot be written: No space left on device"):
        create(tmp_path, "image", "new")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_read_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", locked)
    result = init(tmp_path)
    assert result.exit_code == 2
    assert f"{tmp_path} cannot be read: Permission denied; name another folder" in result.output


@pytest.mark.parametrize("folder", ["2024", "2024-01-01", "1e5", "true", "null", "yes"])
def test_a_name_that_yaml_has_another_meaning_for_stays_a_text(folder: str, tmp_path: Path) -> None:
    assert init(tmp_path / folder, "--template", "tabular").exit_code == 0
    assert config_file.load(tmp_path / folder / "pipeline.yaml").config.name == folder


@pytest.mark.parametrize(
    ("folder", "name"),
    [("digits", "digits"), ("My Model_2", "my-model-2"), ("-x-", "x"), ("a" * 60, "a" * 40)],
)
def test_a_pipeline_is_named_after_its_folder(folder: str, name: str) -> None:
    assert name_of(Path(folder)) == name


def test_a_name_that_cannot_be_is_refused(tmp_path: Path) -> None:
    result = init(tmp_path / "new", "--name", "My_Model")
    assert (
        result.exit_code == 2 and "--name: 'My_Model' must be 1 to 40 lower-case letters" in result.output
    )
    result = init(tmp_path / "ÄÖ")
    assert result.exit_code == 2 and "write --name NAME" in result.output
    assert list(tmp_path.iterdir()) == []
    assert init(tmp_path / "ÄÖ", "--name", "umlauts").exit_code == 0


def test_what_fails_half_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pipeline.project.template.shutil.copyfile", full)
    with pytest.raises(ProjectError, match="cannot be written: No space left on device"):
        create(tmp_path / "new", "image", "new")
    assert list(tmp_path.iterdir()) == []
