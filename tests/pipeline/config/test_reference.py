"""The option reference is up to date, and the JSON Schema takes every config that is shipped or generated."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from pipeline.cli import main
from pipeline.config import reference, schema
from pipeline.config.config import Config
from pipeline.project.template import TEMPLATES
from tests.project import ROOT

SHIPPED = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("configs/*/*.yaml"))


def problems(path: Path) -> list[str]:
    validator = Draft202012Validator(schema.whole())
    return [error.message for error in validator.iter_errors(yaml.safe_load(path.read_text("utf-8")))]


def test_docs_have_the_reference_of_this_version() -> None:
    written = (ROOT / "docs/reference.md").read_text("utf-8")
    assert written == CliRunner().invoke(main, ["schema", "--markdown"]).stdout, (
        "run `paredown schema --markdown > docs/reference.md`"
    )


def test_every_key_and_link_of_the_reference_is_there() -> None:
    text = reference.markdown()
    names = {
        key
        for part in [schema.whole(), *schema.whole()["$defs"].values()]
        for key in part.get("properties", {})
    }
    assert {key for key in names if f"| `{key}` |" not in text} <= {
        "distill", "prune_channels", "prune", "cluster", "qat", "fine_tune", "convert"  # a section each
    }  # fmt: skip
    sections = {re.sub(r"[^a-z0-9_-]", "", title.lower()) for title in re.findall(r"^## (.*)$", text, re.M)}
    assert len(sections) == len(re.findall(r"^## ", text, re.M))
    assert set(re.findall(r"\(#([^)]*)\)", text)) == sections
    # A value, a bound and a default by hand.
    assert "| `sparsity` | number > 0, < 1 |" in text
    assert "| `quantization` | `float32`, `dynamic`, `float16`, `int8`, `int16x8` |" in text
    assert "| `cpu` | number or text | – |" in text
    assert "| `clusters` | integer ≥ 3, ≤ 256 | `16` |" in text


@pytest.mark.parametrize("path", SHIPPED)
def test_the_schema_takes_every_config_that_is_shipped(path: str) -> None:
    assert problems(ROOT / path) == []


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_schema_takes_every_config_that_init_writes(template: str, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    done = CliRunner().invoke(main, ["init", str(folder), "--template", template])
    assert done.exit_code == 0, done.output
    assert problems(folder / "pipeline.yaml") == []


@pytest.mark.parametrize(
    ("section", "value"),
    [("size", {"max": "30 kB"}), ("size", {"max_drop": "1 KiB"}), ("size", {"max": 30_000})],
)
def test_the_schema_and_the_config_take_the_same_sizes(section: str, value: object) -> None:
    config = yaml.safe_load((ROOT / "configs/mnist/pipeline.yaml").read_text("utf-8"))
    config["gate"][section] = value
    assert list(Draft202012Validator(schema.whole()).iter_errors(config)) == []
    assert Config.model_validate(config).gate.size.bounds()


@pytest.mark.parametrize("value", [{"max": [1]}, {"maximum": 3}, {"max": True}])
def test_the_schema_refuses_what_is_not_a_size(value: object) -> None:
    config = yaml.safe_load((ROOT / "configs/mnist/pipeline.yaml").read_text("utf-8"))
    config["gate"]["size"] = value
    assert list(Draft202012Validator(schema.whole()).iter_errors(config))
