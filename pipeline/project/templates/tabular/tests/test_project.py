"""Checks the config and the preprocessing. Run `pytest` in the project's folder."""

from pathlib import Path

import model
import numpy as np
import tensorflow as tf
import yaml
from click.testing import CliRunner

from pipeline.cli import main

CONFIG = yaml.safe_load(Path("pipeline.yaml").read_text(encoding="utf-8"))


def test_the_config_is_valid() -> None:
    result = CliRunner().invoke(main, ["validate", "pipeline.yaml"])
    assert result.exit_code == 0, result.stderr


def test_gaps_are_filled() -> None:
    gaps = tf.sparse.SparseTensor([[0, 0], [2, 0]], [7.5, 2.0], [3, 1])
    np.testing.assert_array_equal(model._filled(gaps, 1.0), [[7.5], [1.0], [2.0]])
    texts = tf.sparse.SparseTensor([[1, 0]], ["Cash"], [2, 1])
    assert model._filled(texts, "").numpy().tolist() == [[b""], [b"Cash"]]


def test_the_model_takes_what_preprocessing_makes() -> None:
    built = model.build_model(CONFIG["model"]["hparams"])
    assert built.input_names == ["numbers", "kinds"]
    assert built.output_shape == (None, 1)
    hour = model._one_hot(tf.constant([[3.0]]), model.HOURS).numpy()
    assert hour.shape == (1, 24) and hour[0, 3] == 1 and hour.sum() == 1
