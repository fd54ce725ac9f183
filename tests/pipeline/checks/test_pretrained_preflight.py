"""What is wrong with a pretrained model is said before a run, at the key that is at fault."""

from __future__ import annotations

from pathlib import Path

import pytest
import tf_keras

from tests.project import Project

MODEL = """\
import tf_keras


def build_model(hparams, pretrained):
    x = tf_keras.layers.Dense(3, activation="softmax", name="last")(pretrained.output)
    model = tf_keras.Model(pretrained.inputs, x)
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def build_student(hparams):
    return tf_keras.Sequential(
        [tf_keras.layers.Input((4,), name="x"), tf_keras.layers.Dense(3, activation="softmax", name="last")]
    )
"""
CANDIDATES = """
  pruned:
    - prune: {sparsity: 0.5FREEZE}
    - convert: {quantization: int8}
  student:
    - distill: {student: build_student}
    - convert: {quantization: int8}
"""


def saved(path: Path, inputs: int = 4) -> None:
    """A model of two layers and a classifier."""
    layers = tf_keras.layers
    x = layers.Input((inputs,), name="x")
    y = layers.Dense(8, activation="relu", name="first")(x)
    y = layers.BatchNormalization(name="norm")(layers.Dense(8, name="second")(y))
    tf_keras.Model(x, layers.Dense(2, name="classes")(y)).save(path)


def configure(project: Project, freeze: str = "") -> None:
    """Writes a config on the pretrained model, whose pruning freezes layers."""
    project.write_config(
        model="{module: MODULE, pretrained: {path: trunk.h5}}",
        candidates=CANDIDATES.replace("FREEZE", freeze and f", freeze: [{freeze}]"),
    )


@pytest.fixture
def project(project: Project) -> Project:
    """A project on a pretrained model."""
    saved(project.root / "trunk.h5")
    project.write_model(MODEL)
    configure(project)
    return project


def test_a_project_on_a_pretrained_model_has_no_problems(project: Project) -> None:
    assert project.looked_at("model.train={stages: [{epochs: 1}, {epochs: 1, unfreeze: [second]}]}") == []


WRONG = {
    "cut_at": (
        "model.pretrained.cut_at=secnd",
        "model.pretrained.cut_at",
        "the pretrained model has no layer 'secnd'; did you mean 'second'?",
    ),
    "freeze": (
        "model.pretrained.freeze=[conv*]",
        "model.pretrained.freeze",
        "pattern 'conv*' matches no layer with weights; those are first, second, norm of the trunk",
    ),
    "unfreeze": (
        "model.train={stages: [{epochs: 1, unfreeze: [third]}]}",
        "model.train.stages",
        "stages[0]: pattern 'third' matches no layer that is frozen by then; those are first, second",
    ),
    "a rate for nothing": (
        "model.train.trunk_learning_rate=0.1",
        "model.train.trunk_learning_rate",
        "trunk_learning_rate is for layers of the trunk, all of which are frozen",
    ),
    "application": (
        "model.pretrained={application: MobileNetV9, weights: random}",
        "model.pretrained.application",
        "tf_keras.applications has no 'MobileNetV9'; did you mean 'MobileNetV",
    ),
    "options": (
        "model.pretrained={application: MobileNetV2, weights: random, options: {input_shape: [4]}}",
        "model.pretrained.options",
        "MobileNetV2 refuses these options",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_one_mistake_gives_one_message_at_its_key(case: str, project: Project) -> None:
    override, key, message = WRONG[case]

    problem = project.problem(override)

    assert problem.key() == key
    assert message in problem.message


def test_weights_of_another_architecture_are_named_by_their_layer(project: Project) -> None:
    tf_keras.applications.MobileNet(
        weights=None, input_shape=(32, 32, 3), alpha=0.5, include_top=False
    ).save_weights(project.root / "half.h5")

    problem = project.problem(
        "model.pretrained={application: MobileNet, weights: half.h5, options: {input_shape: [32, 32, 3], "
        "alpha: 0.25, include_top: false}}"
    )

    assert problem.key() == "model.pretrained.weights"
    assert "layer conv1 has weights of shapes (3, 3, 3, 8), the file (3, 3, 3, 16)" in problem.message


def test_a_trunk_that_does_not_fit_the_features_is_named(project: Project) -> None:
    saved(project.root / "trunk.h5", inputs=5)

    problem = project.problem()

    assert "feature 'x' has 4 values in the first record, which do not fit" in problem.message


def test_patterns_of_layers_that_a_step_freezes_are_those_that_it_will_have(project: Project) -> None:
    configure(project, "secnd")
    problem = project.problem()
    assert problem.key() == "candidates.pruned[0].prune.freeze"
    assert problem.message.startswith("pattern 'secnd' matches no layer with weights; those are first, ")

    configure(project, "'*'")
    assert "leaves no layer to train" in project.problem().message
