"""What explain refuses, that `run` refuses the same, and that what a refusal says to write is accepted."""

from __future__ import annotations

import pytest

from components.tflite_converter.params import ConvertOptions
from pipeline.checks import preflight
from pipeline.config.config_file import load
from pipeline.plan.planner import make_plan
from tests.pipeline.explain.project import (
    CLUSTER,
    CONV,
    INT8,
    PRUNE,
    QAT,
    SERIES,
    SUBCLASSED,
    Case,
    Project,
)
from tests.pipeline.explain.refused_models import CASES, DEPTHWISE, OWN_LAYER, OWN_MODEL


@pytest.mark.parametrize("name", CASES)
def test_a_model_that_a_technique_cannot_handle(project: Project, name: str) -> None:
    case = CASES[name]
    project.write(case)

    candidates, problems = project.explain()

    (problem,) = problems
    assert problem.message == case.message.replace("{module}", project.module)
    if case.key == "model.module":
        assert problem.key() == case.key
        assert candidates == []
        return
    assert problem.key() == f"candidates.one{case.key}"
    (candidate,) = candidates
    assert candidate.refused() and candidate.size is None


@pytest.mark.parametrize("name", ["Lambda in qat", "function as activation", "student of another size"])
def test_the_check_before_run_is_the_same(project: Project, name: str) -> None:
    project.write(CASES[name])
    file = load(project.config, [])
    _, problems = project.explain()
    assert len(problems) == 1
    assert preflight.check(file, make_plan(file.config, file.path), set()).problems == problems


def test_subclassed_models_are_refused_when_they_are_built(project: Project) -> None:
    project.write(Case(PRUNE, CONV, "", "", before=OWN_MODEL))
    source = (project.root / f"{project.module}.py").read_text(encoding="utf-8")
    built = "    model = Net()\n    model.build((None, 8, 8, 4))\n    model.compile('sgd', 'mse')\n    return model\n"
    (project.root / f"{project.module}.py").write_text(
        source.partition("\ndef build_model")[0] + "\ndef build_model(hparams):\n" + built, encoding="utf-8"
    )

    candidates, (problem,) = project.explain()

    assert candidates == []
    assert problem.key() == "model.module"
    assert problem.message == (
        f"{project.module}.build_model returned a model whose input shapes are unknown: build it with the "
        "functional API, or begin a Sequential model with tf_keras.layers.Input"
    )


def test_layers_that_cannot_be_distinguished_in_a_file_are_refused(project: Project) -> None:
    own = OWN_LAYER.replace(
        '        self.kernel = self.add_weight("kernel", shape[-1:])\n',
        '        self.kernel = self.add_weight("kernel", shape[-1:])\n'
        '        self.other = self.add_weight("kernel", shape[-1:])\n',
    )
    project.write(Case(PRUNE, CONV + 'y = Scale(name="scale")(y)', "", "", before=own))

    _, (problem,) = project.explain()

    assert problem.key() == "model.module"
    assert "cannot be saved and loaded, as it is between steps: ValueError: " in problem.message
    assert problem.message.endswith("and each layer and weight a unique name")


# What a message says to write instead, and what to write it for.
INSTEAD: dict[str, tuple[str, Case]] = {
    "the activation behind BatchNormalization": (
        "activation before BatchNormalization in qat",
        Case(
            QAT,
            CONV + 'y = layers.BatchNormalization(name="norm")(y)\ny = layers.ReLU(name="relu")(y)',
            "",
            "",
        ),
    ),
    "Add for +": ("operator + in qat", Case(QAT, CONV + "y = layers.Add()([x, y])", "", "")),
    "ReLU for tf.nn.relu": ("tf.nn.relu in qat", Case(QAT, CONV + "y = layers.ReLU()(y)", "", "")),
    "swish as a layer": (
        "swish inside a layer in qat",
        Case(QAT, CONV + "y = layers.Activation('swish', name='swish')(y)", "", ""),
    ),
    "Conv2D for Dense on a series": (
        "Dense on a series in qat",
        Case(
            QAT, "y = layers.Conv2D(6, (1, 1), name='dense')(layers.Reshape((6, 1, 4))(x))", "", "", SERIES
        ),
    ),
    "unroll=True": (
        "LSTM in any file",
        Case(f"[{INT8}]", 'y = layers.LSTM(4, unroll=True, name="lstm")(x)', "", "", SERIES),
    ),
    "float_ops for Conv3D": (
        "Conv3D in int8",
        Case(
            "[{convert: {quantization: int8, float_ops: [CONV_3D]}}]",
            'y = layers.Conv3D(4, 2, name="conv3d")(x)',
            "",
            "",
            (4, 4, 4, 2),
        ),
    ),
    "exclude of a subclassed model in prune": (
        "subclassed model inside the model in prune",
        Case(
            f"[{{prune: {{sparsity: 0.5, exclude: [inner]}}}}, {INT8}]",
            SUBCLASSED,
            "",
            "",
            before=OWN_MODEL,
        ),
    ),
    "exclude of BatchNormalization after Add": (
        "BatchNormalization after Add in qat",
        Case(
            f"[{{qat: {{exclude: [norm, last]}}}}, {INT8}]",
            CASES["BatchNormalization after Add in qat"].lines,
            "",
            "",
        ),
    ),
    "int8 for clustered depthwise convolutions": (
        "clustered depthwise convolution in dynamic",
        Case(CLUSTER, DEPTHWISE, "", ""),
    ),
}


@pytest.mark.parametrize("name", INSTEAD)
def test_what_is_to_be_written_instead_is_accepted(project: Project, name: str) -> None:
    of, case = INSTEAD[name]
    assert of in CASES
    project.write(case)

    (candidate,), problems = project.explain()

    assert problems == []
    assert candidate.size is not None and not candidate.refused()


def test_whether_an_excluded_layer_stays_in_float_is_seen_in_the_file(project: Project) -> None:
    from components.common.models import model_files
    from components.common.tflite import tflite_file
    from components.quantization_aware_trainer.executor import prepare, quantize
    from components.tflite_converter.executor import convert

    lines = CONV + 'y = layers.Conv2D(4, 3, name="middle")(y)\ny = layers.Conv2D(4, 3, name="third")(y)'
    project.write(Case(f"[{{qat: {{exclude: [middle]}}}}, {INT8}]", lines, "", ""))

    (candidate,), problems = project.explain()

    model = quantize(prepare(candidate.steps[0].explanation.after.model, ["middle"]), ["middle"])
    folder = project.root / "saved"
    model_files.save_serving(model, str(folder), ["x"])
    path = project.root / "tflite"
    path.write_bytes(convert(str(folder), ConvertOptions(quantization="int8"), True, None))
    dtypes = {kernel.layer: kernel.dtype for kernel in tflite_file.read(path).kernels}
    assert (dtypes["conv"], dtypes["third"]) == ("int8", "int8")
    said = [problem.message for problem in problems]
    if dtypes["middle"] == "float32":
        assert said == []
    else:
        assert said == [
            "middle: would be int8 anyway, because everything around it is; remove it from `exclude`"
        ]


def test_what_reads_an_excluded_layer_is_refused(project: Project) -> None:
    lines = CONV + 'y = layers.BatchNormalization(name="norm")(layers.Add(name="add")([x, y]))'
    project.write(Case(f"[{{qat: {{exclude: [norm]}}}}, {INT8}]", lines, "", ""))

    _, (problem,) = project.explain()

    assert problem.key() == "candidates.one[0].qat.exclude"
    assert problem.message == (
        "last: would stay in float, because it reads a layer that `exclude` leaves in float; leave `qat` out: "
        "post-training int8 needs no such support, or add it to `exclude`"
    )
