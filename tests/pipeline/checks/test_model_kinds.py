"""What is refused before a run of models with other outputs than one of classes."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config.problem import Problem
from tests.project import Project

SECTIONS = {
    "data": "{path: data, label: {side: bigger, gap: difference}}",
    "gate": """
  accuracy:
    - {output: side, metric: SparseCategoricalAccuracy, min: 0.5}
    - {output: gap, metric: MeanAbsoluteError, max: 1.0}
""",
}

MODEL = """\
import tf_keras

L = tf_keras.layers


def build_model(hparams):
    x = L.Input((4,), name="x")
    side, gap = L.Dense(2, activation="softmax", name="side")(x), L.Dense(1, name="gap")(x)
    model = tf_keras.Model(x, [side, gap])
    model.compile("sgd", loss={"side": "sparse_categorical_crossentropy", "gap": "mse"})
    return model
"""


EXAMPLES = [
    {"x": [float(index), 1.0, 2.0, 3.0], "bigger": index % 2, "difference": index / 2, "pair": [0, 1]}
    for index in range(6)
]


@pytest.fixture
def project(project: Project) -> Project:
    """One whose model has two outputs."""
    for split in ("train", "eval"):
        project.write_records(f"{split}.tfrecord.gz", EXAMPLES)
    project.write_config(**SECTIONS)
    project.write_model(MODEL)
    return project


def test_a_config_without_mistakes(project: Project) -> None:
    assert project.looked_at() == []


@pytest.mark.parametrize(
    ("override", "key", "message"),
    [
        ("gate.accuracy.0.output=sid", "gate.accuracy[0].output", "no output 'sid'; did you mean 'side'?"),
        (
            "gate.accuracy={metric: AUC, min: 0.1}",
            "gate.accuracy",
            "does not say which output AUC is for; write output: side or gap",
        ),
        (
            "gate.accuracy={output: side, metric: AUC, min: 0.1}",
            "gate.accuracy",
            "has no metric for output gap, so nothing would measure how good it is",
        ),
        ("data.label=bigger", "gate.accuracy[0].output", "data.label is for a model with one output"),
        (
            "gate.accuracy.1.metric=MeanAbsolutError",
            "gate.accuracy[1].metric",
            "did you mean 'MeanAbsoluteError'?",
        ),
        ("gate.accuracy.0.config={tresh: 1}", "gate.accuracy[0].config.tresh", "has no argument 'tresh'"),
        ("select={maximize: accuracy}", "select.maximize", "the gate has 2 metrics, and one has to decide"),
        (
            "select={maximize: accuracy, of: gapp}",
            "select.of",
            "'gapp' names none of the gate's metrics; write one of SparseCategoricalAccuracy of side",
        ),
    ],
)
def test_metrics_and_selection_go_with_the_labels(
    project: Project, override: str, key: str, message: str
) -> None:
    found = project.checked(override)
    assert (found[0].key(), message in found[0].message) == (key, True), found


@pytest.mark.parametrize("of", ["gap", "MeanAbsoluteError", "MeanAbsoluteError of gap"])
def test_a_selection_names_a_metric_by_its_output_or_its_own_name(project: Project, of: str) -> None:
    assert project.checked(f"select={{maximize: accuracy, of: {of}}}") == []


@pytest.mark.parametrize(
    ("override", "key", "message"),
    [
        ("gate.accuracy.1.mx=3", "gate.accuracy[1].mx", "unknown key; did you mean 'max'?"),
        ("gate.accuracy.1.max=much", "gate.accuracy[1].max", "must be a number, but is 'much'"),
        ("gate.accuracy=[]", "gate.accuracy", "must not be empty"),
        ("gate.accuracy=3", "gate.accuracy", "must be a mapping with keys of min"),
        ("data.label={side: bigger}", "data.label", "write label: bigger"),
        ("data.label={}", "data.label", "must not be empty"),
        ("select={minimize: size, of: gap}", "select", "of: gap says which metric to maximize"),
        (
            "gate.accuracy.1={output: side, metric: SparseCategoricalAccuracy, min: 0.1}",
            "gate",
            "SparseCategoricalAccuracy of side is listed twice",
        ),
    ],
)
def test_one_mistake_in_a_list_of_metrics_gives_one_message(
    project: Project, override: str, key: str, message: str
) -> None:
    problem = project.refusal(override)
    assert (problem.key(), message in problem.message) == (key, True), problem


def only(problems: list[Problem]) -> tuple[str, str]:
    (problem,) = problems
    return problem.key(), problem.message


def test_one_label_for_a_model_with_two_outputs(project: Project) -> None:
    overrides = ("data.label=bigger", "gate.accuracy={metric: SparseCategoricalAccuracy, min: 0.5}")
    key, message = only(project.looked_at(*overrides))
    assert key == "data.label"
    assert "a model with 2 outputs" in message
    assert "write label: {side: …, gap: …}" in message


def test_labels_of_outputs_that_the_model_does_not_have(project: Project) -> None:
    project.write_model(MODEL.replace('name="gap"', 'name="gop"').replace('"gap": "mse"', '"gop": "mse"'))
    key, message = only(project.looked_at())
    assert key == "data.label"
    assert "the model has no output 'gap'; its outputs are ['side', 'gop']" in message


def test_a_label_that_is_not_a_feature(project: Project) -> None:
    key, message = only(project.looked_at("data.label.gap=differenc"))
    assert key == "data.label.gap"
    assert "'differenc' is not a feature of the data" in message


@pytest.mark.parametrize(
    ("change", "override", "key", "message"),
    [
        (
            ('"gap": "mse"}', '"gap": "mse"}'),
            "data.label.gap=pair",
            "data.label.gap",
            "label 'pair' has 2 values in an example, and output 'gap' has 1, which mean_squared_error compares",
        ),
        (
            ('"gap": "mse"', '"gap": "sparse_categorical_crossentropy"'),
            "data.label.gap=bigger",
            "data.label.gap",
            "output 'gap' has one unit",
        ),
        ((', "gap": "mse"', ""), "run.seed=1", "model.module", "output 'gap' is compiled with no loss"),
        (
            ("[side, gap]", "dict(side=side, gap=gap)"),
            "run.seed=1",
            "model.module",
            "whose outputs are a dictionary",
        ),
        (
            ("", ""),
            "gate.accuracy.1.metric=SparseCategoricalAccuracy",
            "gate.accuracy[1].metric",
            "counts classes, and output 'gap' is a regression, compiled with mean_squared_error",
        ),
        (
            ("", ""),
            "gate.accuracy.0.metric=BinaryAccuracy",
            "gate.accuracy[0].metric",
            "compares value by value, and output 'side' has 2 for a label of one value",
        ),
    ],
)
def test_labels_and_metrics_fit_the_outputs(
    project: Project, change: tuple[str, str], override: str, key: str, message: str
) -> None:
    project.write_model(MODEL.replace(*change))
    assert only(project.looked_at(override))[0] == key
    assert message in only(project.looked_at(override))[1]


def test_steps_that_cannot_take_the_model_are_refused_by_layer(project: Project) -> None:
    model = MODEL.replace(
        'x = L.Input((4,), name="x")',
        'rows = L.Input((2, 2), name="x")\n    x = L.GRU(3, unroll=UNROLL, name="memory")(rows)',
    ).replace("tf_keras.Model(x, ", "tf_keras.Model(rows, ")
    project.write_model(model.replace("UNROLL", "True"))
    assert project.looked_at() == []
    (problem,) = project.looked_at("candidates.int8=[{qat: {}}, {convert: {quantization: int8}}]")
    assert problem.key() == "candidates.int8[0].qat"
    assert problem.message.startswith("memory: GRU has no fake quantization in TFMOT; leave `qat` out")


def test_a_recurrent_layer_that_tflite_cannot_hold(project: Project) -> None:
    project.write_model(
        MODEL.replace(
            'x = L.Input((4,), name="x")',
            'rows = L.Input((2, 2), name="x")\n    x = L.GRU(3, name="memory")(rows)',
        ).replace("tf_keras.Model(x, ", "tf_keras.Model(rows, ")
    )
    key, message = only(project.looked_at())
    assert key == "model.module"
    assert message.endswith("; write unroll=True in the recurrent layer")


def of_any_length(inputs: str = "x = L.Input((None, 4), name='x')") -> str:
    pooled = "; f = L.GlobalAveragePooling1D()(x)"
    first, rest = MODEL.split('    x = L.Input((4,), name="x")\n')
    return f"{first}    {inputs}{pooled}\n{rest.replace('(x), L.Dense', '(f), L.Dense').replace('(x)', '(f)', 2)}"


TRANSFORM = """

def preprocessing_fn(inputs):
    return dict(inputs)
"""


@pytest.mark.parametrize(
    ("more", "written"), [("", r"tf_keras.Input((1, 4), name='x')"), (TRANSFORM, "tf_keras.Input((N, 4), ")]
)
def test_a_sequence_of_unknown_length_is_refused(project: Project, more: str, written: str) -> None:
    project.write_model(of_any_length() + more)
    key, message = only(project.looked_at())

    assert key == "model.module"
    assert message.startswith(
        "the model's input 'x' has shape (None, 4), but TFLite files take a fixed number"
    )
    assert written in message


def test_several_outputs_go_with_a_preprocessing_fn(project: Project) -> None:
    project.write_model(MODEL + TRANSFORM)

    assert project.looked_at() == []
    key, message = only(
        project.looked_at("data.label={side: bigger, gapp: difference}", "gate.accuracy.1.output=gapp")
    )
    assert key == "data.label" and "'gapp'" in message


def test_distillation_of_several_outputs(project: Project) -> None:
    problems = project.looked_at(
        "candidates.int8=[{distill: {student: build_model}}, {convert: {quantization: int8}}]"
    )
    assert "outputs; `distill` takes one" in only(problems)[1]


def test_a_table_lacks_a_value_of_one_of_several_labels(tmp_path: Path) -> None:
    from pipeline.checks import table_preflight
    from pipeline.config.data_options import Data

    for split in ("train", "eval"):
        (tmp_path / f"{split}.csv").write_text(
            "x,bigger,difference\n1,0,0.5\n2,1,\n3,1,1.5\n", encoding="utf-8"
        )
    data = Data(format="csv", path=str(tmp_path), label={"side": "bigger", "gap": "difference"})
    (problem,) = table_preflight.check(data, table_preflight.read(data, True), False)
    assert problem.key() == "data.label.gap"
    assert problem.message.startswith("'difference' has no value in 1 of 3 rows")


OWN_LOSS = MODEL.replace('"sparse_categorical_crossentropy"', "own").replace(
    "def build_model", "def own(labels, outputs):\n    return (labels - outputs) ** 2\n\n\ndef build_model"
)


@pytest.mark.parametrize(
    ("activation", "metric", "refused"),
    [
        ("None", "AUC, min: 0.6", True),
        ("None", "SparseCategoricalCrossentropy, max: 1", True),
        ("None", "SparseCategoricalAccuracy, min: 0.5", False),
        ('"softmax"', "AUC, min: 0.6", False),
    ],
)
def test_outputs_of_an_own_loss_may_be_logits(
    project: Project, activation: str, metric: str, refused: bool
) -> None:
    project.write_model(OWN_LOSS.replace('"softmax"', activation))
    problems = project.looked_at(f"gate.accuracy.0={{output: side, metric: {metric}}}")
    if not refused:
        assert problems == []
        return
    (problem,) = problems
    assert problem.key() == "gate.accuracy[0].metric"
    assert (
        "its loss is not one of Keras's, so whether its values are logits is not known" in problem.message
    )
