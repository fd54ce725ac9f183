"""Model modules that fail, and models that do not fit the data or cannot be judged."""

from __future__ import annotations

from tests.pipeline.checks.preflight.conftest import COMPILED
from tests.project import MODEL, Project, changed


def test_module_that_raises(project: Project) -> None:
    project.write_model(MODEL + "\nraise OSError('no licence')\n")
    problem = project.problem("candidates.student=[{convert: {quantization: float16}}]")
    assert (problem.key(), problem.line) == ("model.module", 3)
    assert f"importing {project.module} raised OSError: no licence" in problem.message


def test_function_that_raises(project: Project) -> None:
    project.write_model(
        MODEL.replace(
            "def build_student(hparams):\n", "def build_student(hparams):\n    hparams['width']\n"
        )
    )
    problem = project.problem()
    assert problem.key() == "candidates.student[0].distill.student"
    assert "build_student(hparams) raised KeyError: 'width'" in problem.message


def test_uncompiled_model(project: Project) -> None:
    project.write_model(MODEL.replace(COMPILED, ""))
    problem = project.problem()
    assert "not compiled: call model.compile" in problem.message


def test_models_of_keras_3_are_accepted(project: Project) -> None:
    project.write_model(MODEL.replace("tf_keras", "keras"))
    assert list(project.looked_at()) == []


def test_a_layer_of_keras_3_that_cannot_be_converted_is_named(project: Project) -> None:
    project.write_model(
        MODEL.replace("tf_keras", "keras").replace("Dense(3,", 'Dense(3, activation="squareplus",')
    )
    message = project.looked_at()[0].message
    assert "returned a model that is of Keras 3, and its 'last' (keras.layers.Dense) cannot be" in message


def test_label_that_is_not_in_the_data(project: Project) -> None:
    text = project.config.read_text(encoding="utf-8")
    project.write_config(changed(text, "label: label", "label: labels"))
    problem = project.problem()
    assert (problem.key(), problem.line) == ("data.label", 2)
    assert "'labels' is not a feature of the data, which has ['label', 'x']" in problem.message


def test_input_that_is_not_a_feature(project: Project) -> None:
    project.write_model(
        MODEL.replace(
            "    model = tf_keras.Sequential(\n"
            '        [tf_keras.layers.Input((4,), name="x"), tf_keras.layers.Dense(3, name="last")]\n'
            "    )\n",
            "    a, b = (tf_keras.layers.Input((4,), name=n) for n in 'xy')\n"
            "    out = tf_keras.layers.Dense(3, name='last')(tf_keras.layers.Add()([a, b]))\n"
            "    model = tf_keras.Model([a, b], out)\n",
        )
    )
    problem = project.problem()
    assert "the model's input 'y' is not a feature of the data, which has ['x']" in problem.message


TWO_OUTPUTS = """\
import tf_keras
from tf_keras import layers


def build_model(hparams):
    x = layers.Input((4,), name="x")
    model = tf_keras.Model(x, [layers.Dense(3)(x), layers.Dense(1)(x)])
    model.compile("sgd", "mse")
    return model
"""


def test_several_outputs(project: Project) -> None:
    project.write_model(TWO_OUTPUTS)
    problem = project.problem("candidates.student=[{convert: {quantization: float16}}]")
    assert "a model with 2 outputs, and 'label' is one label; write label: {" in problem.message


def test_input_of_another_size(project: Project) -> None:
    project.write_model(MODEL.replace("Input((4,)", "Input((5,)"))
    problem = project.problem()
    assert "feature 'x' has 4 values in the first record" in problem.message
    assert "model's input 'x' of shape (5,)" in problem.message


def test_student_of_another_size(project: Project) -> None:
    student = MODEL.partition("def build_model")[2].replace("Dense(3", "Dense(2")
    text = (
        MODEL.partition("def build_student")[0]
        + "def build_student"
        + student.partition("def build_student")[0]
    )
    project.write_model(text)
    problem = project.problem()
    assert problem.key() == "candidates.student[0].distill.student"
    assert "the student gives (None, 2) and the baseline (None, 3)" in problem.message


NOISY = MODEL.replace(
    "def build_model(hparams):",
    "class Noise(tf_keras.layers.Layer):\n"
    "    def call(self, inputs):\n"
    "        import tensorflow as tf\n"
    "        return inputs + tf.random.normal(tf.shape(inputs), seed=1)\n\n\n"
    "def build_model(hparams):",
)


def test_a_model_that_does_not_predict_the_same_again(project: Project) -> None:
    last = 'tf_keras.layers.Dense(3, name="last")'
    project.write_model(NOISY.replace(last, f'Noise(name="noise"), {last}'))
    problem = project.problem()
    assert (problem.key(), problem.line) == ("model.module", 3)
    assert problem.message == (
        "layer 'noise' draws random numbers when it predicts (RandomStandardNormal), so a file would not predict what "
        "the gate measured; remove it, or let it act only in training"
    )


def test_a_student_that_does_not_predict_the_same_again(project: Project) -> None:
    project.write_model(
        NOISY.replace(
            "    return build_model(hparams)",
            '    model = build_model(hparams)\n    noise = Noise(name="noise")(model.output)\n'
            "    return tf_keras.Model(model.input, noise)",
        )
    )
    problem = project.problem()
    assert problem.key() == "candidates.student[0].distill.student"
    assert problem.message.startswith("layer 'noise' draws random numbers")


def test_module_that_exits(project: Project) -> None:
    project.write_model(MODEL + "\nraise SystemExit(0)\n")
    problem = project.problem("candidates.student=[{convert: {quantization: float16}}]")
    assert f"importing {project.module} raised SystemExit: 0" in problem.message


def test_label_is_looked_for_also_when_the_data_were_read_before(project: Project) -> None:
    problem = project.problem("data.label=labels", cached=["ImportExampleGen"])
    assert "'labels' is not a feature of the data" in problem.message


def test_names_of_layers_are_the_same_in_each_build(project: Project) -> None:
    from components.common.models import user_module

    project.write_model(MODEL.replace(', name="last"', ""))
    names = [
        [layer.name for layer in user_module.build(project.module, "build_model", {}).layers]
        for _ in range(3)
    ]
    assert names == [["dense"]] * 3
