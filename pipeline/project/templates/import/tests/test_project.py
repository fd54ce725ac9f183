"""Checks that the config is valid and that the model fits it. Run `pytest` in the project's folder."""

from pathlib import Path

import tf_keras
import yaml
from click.testing import CliRunner

from pipeline.cli import main

CONFIG = yaml.safe_load(Path("pipeline.yaml").read_text(encoding="utf-8"))


def test_the_config_is_valid() -> None:
    result = CliRunner().invoke(main, ["validate", "pipeline.yaml"])
    assert result.exit_code == 0, result.stderr


def test_there_is_an_output_for_each_class_and_a_folder() -> None:
    model = tf_keras.models.load_model(CONFIG["model"]["import"])
    assert model.output_shape == (None, len(CONFIG["data"]["classes"]))
    folders = {path.name for path in Path(CONFIG["data"]["path"]).iterdir() if path.is_dir()}
    assert folders == set(CONFIG["data"]["classes"])
