"""The user's model module: its faults are reported with the fix."""

from __future__ import annotations

import pytest
import tf_keras

from components.common.base.interruption import Interrupted
from components.common.models.user_module import UserModuleError, build
from tests.components.conftest import MakeModule
from tests.conftest import MNIST_HPARAMS, MNIST_MODULE

COMPILED = """
import tf_keras
def build_model(hparams):
    hparams["seen"] = True
    dense = tf_keras.layers.Dense(hparams["units"])
    model = tf_keras.Sequential([tf_keras.layers.Input((3,), name="x"), dense])
    model.compile("sgd", "mse")
    return model
"""


def test_a_model_comes_back_built_and_compiled() -> None:
    model = build(MNIST_MODULE, "build_model", MNIST_HPARAMS)

    assert isinstance(model, tf_keras.Model)
    assert model.input_names == ["image"]
    assert model.output_shape == (None, 10)
    assert model.get_layer("conv2").filters == MNIST_HPARAMS["filters"][1]


def test_the_function_cannot_change_the_configs_hparams(make_module: MakeModule) -> None:
    hparams = {"units": 2}

    assert build(make_module(COMPILED), "build_model", hparams).output_shape == (None, 2)
    assert hparams == {"units": 2}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        pytest.param("import no_such_package", "importing .* raised ModuleNotFoundError: No module named "
                     "'no_such_package'", id="raises-on-import"),
        pytest.param("1 +", "importing .* raised SyntaxError", id="syntax-error"),
        pytest.param("x = 1", "has no function build_model", id="no-function"),
        pytest.param("build_model = 3", "has no function build_model", id="not-a-function"),
        pytest.param("def build_model(hparams): return hparams['depth']",
                     r"build_model\(hparams\) raised KeyError: 'depth'", id="raises"),
        pytest.param("def build_model(): pass", r"build_model\(hparams\) raised Type", id="no-argument"),
        pytest.param("def build_model(hparams): pass", "returned builtins.NoneType, not a tf_keras.Model",
                     id="returns-nothing"),
        pytest.param("def build_model(hparams): return 'model.h5'",
                     "returned builtins.str, not a tf_keras.Model", id="not-a-model"),
        pytest.param(COMPILED.replace('model.compile("sgd", "mse")', ""),
                     "returned a model that is not compiled: call model.compile", id="not-compiled"),
        pytest.param(COMPILED.replace('tf_keras.layers.Input((3,), name="x"), ', ""),
                     "a model whose input shapes are unknown.*tf_keras.layers.Input", id="unbuilt"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(make_module: MakeModule, source: str, message: str) -> None:
    with pytest.raises(UserModuleError, match=message) as raised:
        build(make_module(source), "build_model", {"units": 2})
    assert "\n" not in str(raised.value)


def test_a_missing_module_is_named() -> None:
    with pytest.raises(UserModuleError, match=r"importing no\.such\.module raised ModuleNotFoundError"):
        build("no.such.module", "build_model", {})


def test_a_subclass_of_a_keras_3_model_is_recognized(make_module: MakeModule) -> None:
    source = """
    import keras
    class Mine(keras.Model):
        pass
    def build_model(hparams):
        return Mine()
    """
    with pytest.raises(UserModuleError, match=r"is a subclassed Keras 3 model \(Mine\)"):
        build(make_module(source), "build_model", {})


def test_a_keras_3_model_is_converted_and_compiled_as_it_was(make_module: MakeModule) -> None:
    module = make_module(COMPILED.replace("tf_keras", "keras"))
    first, second = (build(module, "build_model", {"units": 2}) for _ in range(2))
    assert isinstance(first, tf_keras.Model) and first.loss == "mse"
    assert float(first.optimizer.learning_rate) == pytest.approx(0.01)
    assert [layer.name for layer in first.layers] == [layer.name for layer in second.layers]


def test_a_student_need_not_be_compiled(make_module: MakeModule) -> None:
    module = make_module(COMPILED.replace('model.compile("sgd", "mse")', ""))

    assert build(module, "build_model", {"units": 2}, compiled=False).output_shape == (None, 2)


@pytest.mark.parametrize("where", ["on-import", "in-the-function"])
def test_being_stopped_is_not_reported_as_a_mistake_of_the_user(
    make_module: MakeModule, where: str
) -> None:
    raising = "raise Interrupted"
    source = "from components.common.base.interruption import Interrupted\n"
    source += raising if where == "on-import" else f"def build_model(hparams): {raising}"

    with pytest.raises(Interrupted):
        build(make_module(source), "build_model", {})
