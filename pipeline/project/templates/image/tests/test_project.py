"""Checks that the config is valid and that the model fits it. Run `pytest` in the project's folder."""

from pathlib import Path

import model
import numpy as np
import yaml
from click.testing import CliRunner

from pipeline.cli import main

CONFIG = yaml.safe_load(Path("pipeline.yaml").read_text(encoding="utf-8"))


def test_the_config_is_valid() -> None:
    result = CliRunner().invoke(main, ["validate", "pipeline.yaml"])
    assert result.exit_code == 0, result.stderr


def test_there_is_an_output_for_each_class() -> None:
    classes = [path for path in Path(CONFIG["data"]["path"]).iterdir() if path.is_dir()]
    built = model.build_model(CONFIG["model"]["hparams"])
    assert built.output_shape == (None, len(classes))


def test_the_model_takes_images_of_the_configs_size() -> None:
    image = CONFIG["data"]["image"]
    built = model.build_model(CONFIG["model"]["hparams"])
    assert built.input_names == ["image"]
    probabilities = built.predict(np.zeros((2, *image["size"], image["channels"])), verbose=0)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
