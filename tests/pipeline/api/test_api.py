"""`import paredown`: the commands as functions, with results that show themselves in notebooks."""

from __future__ import annotations

import os
import re
import shutil
import site
import subprocess
import sys
import zipfile
from html import unescape
from pathlib import Path

import pytest
from click.testing import CliRunner

import paredown
from pipeline import api, cli
from tests.pipeline.report.made_run import MadeRun
from tests.pipeline.report.made_verdicts import passing

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of the tabular template, which nothing has run."""
    folder = tmp_path_factory.mktemp("api") / "churn"
    made = CliRunner().invoke(cli.main, ["init", str(folder), "--template", "tabular"])
    assert made.exit_code == 0, made.output
    return folder


def text_of(html: str) -> str:
    return unescape(re.sub(r"<[^>]+>", "", html))


def test_importing_it_imports_nothing_heavy() -> None:
    code = (
        "import sys; from tests.tree import map_paredown; map_paredown(); import paredown; "
        "print(sorted({'pydantic', 'tensorflow', 'tfx', 'ml_metadata', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        capture_output=True,
    )
    assert done.stdout == "[]\n", done.stderr


def test_each_class_and_function_exists_once_under_either_name() -> None:
    assert paredown is not api and paredown.__all__ == api.__all__
    for name in paredown.__all__:
        assert getattr(paredown, name) is getattr(api, name), name
    assert set(paredown.__all__) < set(dir(paredown))
    with pytest.raises(AttributeError, match="'paredown' has no attribute 'lod'"):
        paredown.lod  # noqa: B018


def test_what_the_commands_print_is_what_the_functions_return(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setenv("COLUMNS", "120")
    config = paredown.load("pipeline.yaml")
    planned = paredown.plan(config)
    assert not planned.cached and planned.summary.startswith(f"{len(planned.plan.nodes)} nodes for ")
    printed = CliRunner().invoke(cli.main, ["plan", "pipeline.yaml"]).output
    assert str(planned).split() == printed.split()
    html = planned._repr_html_()
    assert html.startswith("<pre") and planned.summary in text_of(html).replace("\n", " ")
    assert "would run" in text_of(html) and "\x1b" not in html


def test_overrides_are_values_by_key(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    by_value = paredown.load("pipeline.yaml", {"gate.size.max_ratio": 0.25, "run.seed": 3})
    as_text = paredown.load("pipeline.yaml", ["gate.size.max_ratio=0.25", "run.seed=3"])
    assert by_value.config == as_text.config
    assert (by_value.config.gate.size.max_ratio, by_value.config.run.seed) == (0.25, 3)
    only = list(by_value.config.candidates)[:1]
    assert list(paredown.load("pipeline.yaml", only=only).config.candidates) == only


def test_each_mistake_of_a_config_is_a_problem(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    with pytest.raises(paredown.ConfigError) as caught:
        paredown.load("pipeline.yaml", {"gate.size.max_ration": 0.5, "select": {"minimise": "size"}})
    assert [problem.key() for problem in caught.value.problems] == [
        "gate.size.max_ration",
        "select.minimise",
    ]
    with pytest.raises(paredown.ConfigError, match="nobody"):
        paredown.plan(paredown.load("pipeline.yaml"), remeasure=["nobody"])


def test_runs_and_their_verdicts_are_read(tmp_path: Path) -> None:
    made = MadeRun(tmp_path)
    run = made.whole(passing(), "pruned-int8", tmp_path / "serving" / "1")
    (listed,) = paredown.runs(metadata=made.url)
    assert listed == run
    assert "pruned-int8" in text_of(paredown.runs(metadata=made.url)._repr_html_())
    assert not paredown.runs(metadata=made.url, status="failed")

    read = paredown.read_run(run.id[:13], metadata=made.url)
    assert read.run == run and read.winner is not None and read.winner.name == "pruned-int8"
    assert read.verdicts == passing()
    student = read.verdicts["student"]
    assert {judgement.key for judgement in student.missed} >= {
        "gate.accuracy.min",
        "gate.accuracy.max_drop",
    }
    table = text_of(read._repr_html_())
    assert "passed, selected" in table and "80.0 kB" in table
    assert str(read).startswith("small, run 2026-11-22T08:49:28.755139: pushed")

    page = paredown.write_report(tmp_path / "page.html", metadata=made.url)
    assert "pruned-int8" in page.read_text(encoding="utf-8")


def test_names_do_not_become_html(tmp_path: Path) -> None:
    made = MadeRun(tmp_path)
    made.whole({"<b>x</b>": passing()["int8"]}, None, None)
    html = paredown.read_run(metadata=made.url)._repr_html_()
    assert "<b>x" not in html and "&lt;b&gt;x" in html


def test_an_editable_install_and_a_wheel_have_it(tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    for folder in ("components", "pipeline"):
        shutil.copytree(ROOT / folder, sources / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml"):
        shutil.copy(ROOT / name, sources / name)
    code = "from setuptools import build_meta as b; b.build_editable('editable'); b.build_wheel('wheel')"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(
        [sys.executable, "-c", code], cwd=sources, env=environment, check=True, capture_output=True
    )
    for kind, api_file, pipeline_file in (
        ("editable", sources / "pipeline/api/__init__.py", sources / "pipeline/__init__.py"),
        ("wheel", tmp_path / "wheel/paredown/__init__.py", tmp_path / "wheel/pipeline/__init__.py"),
    ):
        (wheel,) = (sources / kind).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(tmp_path / kind)
        # The packages that it needs are this environment's; its own .pth files are not read.
        program = (
            f"import site, sys; site.addsitedir({str(tmp_path / kind)!r}); sys.path += {site.getsitepackages()}; "
            "import paredown, pipeline; print(paredown.__file__, pipeline.__file__, paredown.load.__module__)"
        )
        done = subprocess.run(
            [sys.executable, "-S", "-c", program],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.stdout.split() == [str(api_file), str(pipeline_file), "pipeline.api.configs"], (
            done.stderr
        )
