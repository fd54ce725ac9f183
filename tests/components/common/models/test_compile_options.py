"""Loss, optimizer and metrics of a config; optimizers of older files."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tf_keras

from components.common.models import compilation
from components.common.models.model_definition import ModelDefinition
from components.common.models.user_module import UserModuleError
from pipeline.config.model_options import ModelSection
from tests.components.conftest import MakeModule

SOURCE = """
import tf_keras

def own_loss(labels, outputs):
    return 3.0 * tf_keras.losses.mean_squared_error(labels, outputs)

def build_model(hparams):
    x = tf_keras.layers.Input((2,), name="x")
    model = tf_keras.Model(x, tf_keras.layers.Dense(2, kernel_initializer="ones", name="y")(x))
    model.compile(tf_keras.optimizers.RMSprop(0.07), "mae", ["mse"])
    return model
"""


def built(make_module: MakeModule, **written: Any) -> tf_keras.Model:
    section = ModelSection(module=make_module(SOURCE), **written)
    assert section.module is not None
    return ModelDefinition(section.module, {}, section.compile_source()).build()


def measured(model: tf_keras.Model) -> dict[str, float]:
    return model.evaluate(np.ones((1, 2)), np.array([[0.0, 1.0]]), verbose=0, return_dict=True)


def test_what_is_not_written_stays(make_module: MakeModule) -> None:
    model = built(make_module, loss="own_loss")

    assert measured(model) == pytest.approx({"loss": 3 * 2.5, "mse": 2.5})
    assert type(model.optimizer) is tf_keras.optimizers.RMSprop
    assert float(model.optimizer.learning_rate) == pytest.approx(0.07)
    assert measured(built(make_module)) == pytest.approx({"loss": 1.5, "mse": 2.5})


def test_all_three_with_arguments(make_module: MakeModule) -> None:
    model = built(
        make_module,
        loss={"name": "Huber", "delta": 0.5},
        optimizer={"name": "SGD", "learning_rate": 0.3, "momentum": 0.9},
        metrics=["mean_absolute_error"],
    )

    assert measured(model) == pytest.approx(
        {"loss": (0.5 * 1.75 + 0.5 * 0.75) / 2, "mean_absolute_error": 1.5}
    )
    assert float(model.optimizer.learning_rate) == pytest.approx(0.3) and model.optimizer.momentum == 0.9


def test_an_output_is_named(make_module: MakeModule) -> None:
    assert measured(built(make_module, loss={"y": "mse"}, metrics={"y": ["mae"]}))["loss"] == pytest.approx(
        2.5
    )


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"loss": "mean_cubed_error"}, r"model\.loss: 'mean_cubed_error' cannot be used"),
        ({"optimizer": {"name": "SGD", "speed": 3}}, r"model\.optimizer: 'SGD' cannot be used"),
        ({"metrics": ["beauty"]}, r"model\.metrics: 'beauty' cannot be used"),
    ],
)
def test_what_keras_does_not_know_is_refused(
    written: dict[str, Any], message: str, make_module: MakeModule
) -> None:
    with pytest.raises(UserModuleError, match=message):
        built(make_module, **written)


@pytest.mark.parametrize(("decay", "later"), [(0.0, 0.02), (1.0, 0.01)])
def test_legacy_optimizers_are_built_as_today(decay: float, later: float) -> None:
    model = tf_keras.Sequential([tf_keras.layers.Dense(1, input_shape=(2,))])
    model.compile(tf_keras.optimizers.legacy.Adam(0.02, beta_1=0.8, decay=decay), "mse")

    compilation.compile_like(model, model)

    assert type(model.optimizer) is tf_keras.optimizers.Adam
    assert model.optimizer.beta_1 == 0.8
    rate = model.optimizer._learning_rate
    assert float(rate(1) if callable(rate) else rate) == pytest.approx(later)
