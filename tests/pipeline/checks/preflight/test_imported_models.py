"""Imported models that do not fit the data, or cannot be judged or converted."""

from __future__ import annotations

import tensorflow as tf

from tests.project import Project

CONVERTED = "candidates={small: [{convert: {quantization: float16}}]}"


def test_an_imported_model_without_mistakes_has_no_problems(project: Project) -> None:
    import tf_keras

    inputs = tf_keras.layers.Input((4,), name="input_1")
    tf_keras.Model(inputs, tf_keras.layers.Dense(3)(inputs)).save(project.root / "model.h5")

    assert project.looked_at("model={import: model.h5}", CONVERTED) == []
    tuned = "candidates={{a: [{{fine_tune: {{teacher: {}}}}}, {{convert: {{quantization: int8}}}}]}}"
    assert project.looked_at("model={import: model.h5}", tuned.format("self")) == []
    problem = project.problem("model={import: model.h5}", tuned.format("labels"))
    assert problem.key() == "model.import"
    assert "was saved without loss and optimizer, which learning from labels needs" in problem.message


def test_inputs_of_an_imported_model_that_are_not_features(project: Project) -> None:
    import tf_keras

    pair = [tf_keras.layers.Input((4,), name=name) for name in ("left", "right")]
    outputs = tf_keras.layers.Dense(3)(tf_keras.layers.Add()(pair))
    tf_keras.Model(pair, outputs).save(project.root / "model.h5")

    problem = project.problem("model={import: {path: model.h5, inputs: {left: x}}}", CONVERTED)
    assert problem.key() == "model.import"
    assert problem.message == (
        "the model's inputs are ['left', 'right'] and the features of the data ['x']; write which feature feeds "
        "each: inputs: {right: …}"
    )


def test_an_imported_model_that_counts_its_predictions(project: Project) -> None:
    class Counting(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.calls = tf.Variable(0.0)

        @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, "x")])
        def predict(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"y": x[:, :3] + self.calls.assign_add(1.0)}

    counting = Counting()
    tf.saved_model.save(counting, str(project.root / "model"), {"serving_default": counting.predict})
    project.write_config(model="{import: model}", candidates=CONVERTED.partition("=")[2])
    (problem,) = project.checked()
    assert problem.key() == "model.import.path"
    assert "keeps values from one prediction to the next (AssignAddVariableOp)" in problem.message


def test_an_imported_model_that_tflite_cannot_hold(project: Project) -> None:
    spec = tf.TensorSpec([None, 4], tf.float32, "x")
    function = tf.function(
        lambda x: {"y": tf.raw_ops.Bucketize(input=x, boundaries=[0.5]) + 0}, autograph=False
    )
    untold = tf.function(
        lambda x: {"y": tf.linalg.svd(tf.reshape(x, [-1, 2, 2]), compute_uv=False)}, autograph=False
    )
    for name, made in (("fits", function), ("model", untold)):
        signatures = {"serving_default": made.get_concrete_function(x=spec)}
        tf.saved_model.save(tf.Module(), str(project.root / name), signatures=signatures)

    assert project.looked_at("model={import: fits}", CONVERTED) == []
    problem = project.problem("model={import: model}", CONVERTED)
    assert problem.key() == "model.import"
    assert problem.message.startswith("TFLite cannot hold the imported model: ")
    assert "Svd" in problem.message
