"""Each kind of model from its training to the gate: regression, several labels at once, several inputs and
outputs, sequences. What the gate measures is held against NumPy on plain LiteRT's predictions.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import datasets, metrics

from components.common.base.label import SAME_AS_INPUT
from components.common.data.arrays import Arrays
from components.common.data.examples import Examples
from components.common.data.model_inputs import ExamplesError
from components.common.models import model_files
from components.common.models.model_definition import ModelDefinition
from components.common.models.output_kind import kinds
from components.common.tflite.litert import LiteRTModel
from components.distiller.error import DistillationError
from components.distiller.executor import distill, refuse_mismatch
from components.distiller.params import DistillOptions
from components.evaluator.params import Gate
from components.evaluator.verdict import Verdict
from components.pruner.executor import prune
from components.pruner.params import PruneOptions
from components.quantization_aware_trainer.executor import prepare, train_quantization_aware
from components.quantization_aware_trainer.params import QatOptions
from components.quantization_aware_trainer.support import refusals
from components.tflite_converter.executor import convert_model
from components.tflite_converter.params import ConvertOptions
from components.trainer.params import TrainOptions
from components.trainer.run_fn import refuse_misfit, train_baseline
from tests.components.conftest import make_job, run_step
from tests.components.evaluating import evaluate
from tests.conftest import to_example, write_examples

MODELS = """
import tf_keras

L = tf_keras.layers


def regression(hparams):
    x = L.Input((4,), name="x")
    hidden = L.Dense(hparams.get("units", 16), activation="relu", name="hidden")(x)
    model = tf_keras.Model(x, L.Dense(1, name="value")(hidden))
    model.compile(tf_keras.optimizers.Adam(0.01), "mse", ["mae"])
    return model


def smaller(hparams):
    return regression({"units": 6})


def multilabel(hparams):
    x = L.Input((4,), name="x")
    hidden = L.Dense(16, activation="relu", name="hidden")(x)
    model = tf_keras.Model(x, L.Dense(3, activation="sigmoid", name="tags")(hidden))
    model.compile(tf_keras.optimizers.Adam(0.01), "binary_crossentropy")
    return model


def smaller_multilabel(hparams):
    return multilabel(hparams)


def two(hparams):
    small, large = L.Input((4,), name="small"), L.Input((4,), name="large")
    both = L.Concatenate(name="both")(
        [
            L.Dense(8, activation="relu", name="of_large")(large),
            L.Dense(8, activation="relu", name="of_small")(small),
        ]
    )
    hidden = L.Dense(16, activation="relu", name="hidden")(both)
    side = L.Dense(2, activation="softmax", name="side")(hidden)
    gap = L.Dense(1, name="gap")(hidden)
    model = tf_keras.Model([small, large], [side, gap])
    losses = {"gap": "mse", "side": "sparse_categorical_crossentropy"}
    model.compile(tf_keras.optimizers.Adam(0.01), losses, {"side": "accuracy"})
    return model


def recurrent(hparams):
    rows = L.Input((8, 8), name="rows")
    memory = L.GRU(16, unroll=hparams.get("unroll", True), name="memory")(rows)
    model = tf_keras.Model(rows, L.Dense(10, activation="softmax", name="digit")(memory))
    model.compile(tf_keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", ["accuracy"])
    return model


def convolutional(hparams):
    rows = L.Input((8, 8), name="rows")
    found = L.Conv1D(16, 3, activation="relu", name="found")(rows)
    flat = L.Flatten(name="flat")(found)
    model = tf_keras.Model(rows, L.Dense(10, activation="softmax", name="digit")(flat))
    model.compile(tf_keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", ["accuracy"])
    return model


def autoencoder(hparams):
    x = L.Input((2, 2, 1), name="x")
    hidden = L.Dense(3, activation="tanh", name="hidden")(L.Flatten(name="flat")(x))
    y = L.Reshape((2, 2, 1), name="again")(L.Dense(4, name="values")(hidden))
    model = tf_keras.Model(x, y)
    model.compile(tf_keras.optimizers.Adam(0.01), "mse")
    return model


def segmentation(hparams):
    x = L.Input((2, 2, 1), name="x")
    hidden = L.Conv2D(8, 1, activation="relu", name="hidden")(x)
    model = tf_keras.Model(x, L.Conv2D(3, 1, activation="softmax", name="mask")(hidden))
    model.compile(tf_keras.optimizers.Adam(0.03), "sparse_categorical_crossentropy", ["accuracy"])
    return model


def build_model(hparams):
    return globals()[hparams["kind"]](hparams)
"""

TRAINING = TrainOptions(epochs=8, batch_size=32)


@dataclass
class Kind:
    """A trained baseline on data of its own.

    Attributes:
        columns: Feature → the eval split's values.
    """

    uri: str
    examples: Examples
    definition: ModelDefinition
    columns: dict[str, np.ndarray]
    history: dict[str, list[float]]
    folder: Path

    def job(self, name: str, options: Any, base: str | None = None) -> Any:
        job = make_job(base or self.uri, self.folder / name, options, self.examples)
        return type(job)(**{**vars(job), "definition": self.definition})

    def converted(self, name: str, base: str | None = None, **options: Any) -> str:
        job = self.job(name, ConvertOptions(calibration_examples=100, **options), base)
        if not Path(job.output).exists():
            run_step(convert_model, job)
        return job.output

    def judged(self, candidate: str, accuracy: Any) -> Verdict:
        gate = Gate.model_validate({"accuracy": accuracy, "latency": {"repetitions": 20, "warmup": 2}})
        baseline = self.converted("float32", quantization="float32")
        return evaluate(candidate, baseline, self.examples, gate, f"{candidate}-judged", 1, [])

    def predicted(self, uri: str) -> dict[str, np.ndarray]:
        """Output → LiteRT's predictions for the eval split, (examples, …)."""
        model = LiteRTModel(model_files.tflite_file(uri))
        count = len(next(iter(self.columns.values())))
        rows = [model.predict({n: self.columns[n][i] for n in model.inputs}) for i in range(count)]
        return {name: np.stack([row[name] for row in rows]).astype(np.float64) for name in rows[0]}

    def by_keras(self, uri: str) -> dict[str, np.ndarray]:
        """The same by the Keras model of an artifact, fed by the names of its inputs."""
        model = model_files.load(uri)
        names = [
            name.removeprefix("quant_").removeprefix("prune_low_magnitude_") for name in model.output_names
        ]
        outputs = model({name: self.columns[name] for name in model.input_names}, training=False)
        outputs = outputs if isinstance(outputs, list) else [outputs]
        return {name: value.numpy() for name, value in zip(names, outputs, strict=True)}


@pytest.fixture(scope="module")
def make_kind(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Writes a module and data, and trains the baseline."""
    modules = tmp_path_factory.mktemp("modules")
    (modules / "model_kinds.py").write_text(MODELS, encoding="utf-8")
    patch = pytest.MonkeyPatch()
    patch.syspath_prepend(modules)

    def make(kind: str, label: Any, train: dict, evaluation: dict, **changes: Any) -> Kind:
        folder = tmp_path_factory.mktemp(kind)
        definition = ModelDefinition("model_kinds", {"kind": kind, **changes})
        data = examples(folder / "data", train, evaluation, label)
        uri = folder / "baseline"
        history = train_baseline(data, str(uri), str(folder / "logs"), definition, TRAINING, seed=3)
        return Kind(str(uri), data, definition, evaluation, history, folder)

    yield make
    patch.undo()


def examples(folder: Path, train: dict, evaluation: dict, label: Any) -> Examples:
    schema = "".join(
        f'feature {{ name: "{name}" type: {"FLOAT" if values.dtype.kind == "f" else "INT"} '
        f"presence {{ min_fraction: 1 }} shape {{ dim {{ size: {values[0].size} }} }} }}\n"
        for name, values in train.items()
    )
    splits = {
        split: [
            to_example({name: values[index] for name, values in columns.items()})
            for index in range(len(next(iter(columns.values()))))
        ]
        for split, columns in (("train", train), ("eval", evaluation))
    }
    written = write_examples(folder, schema, **splits)
    return Examples(str(written / "examples"), str(written / "schema"), None, label)


def points(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 4)).astype(np.float32)


def values_of(x: np.ndarray) -> dict[str, np.ndarray]:
    return {"x": x, "y": (2 * x[:, 0] - x[:, 1]).astype(np.float32)}


@pytest.fixture(scope="module")
def regression(make_kind: Any) -> Kind:
    return make_kind("regression", "y", values_of(points(600, 1)), values_of(points(120, 2)))


def test_regression_is_trained_on_the_error_of_each_example(regression: Kind) -> None:
    """Labels of shape (n,) against outputs of shape (n, 1) must not become n × n differences."""
    errors = regression.by_keras(regression.uri)["value"][:, 0] - regression.columns["y"]
    assert regression.history["val_mae"][-1] == pytest.approx(np.abs(errors).mean(), rel=1e-4)
    assert np.abs(errors).mean() < 0.3


def test_regression_is_judged_by_its_error_where_less_is_better(regression: Kind) -> None:
    candidate = regression.converted("int8", quantization="int8", io="int8")
    verdict = regression.judged(candidate, {"metric": "MeanSquaredError", "max": 1, "max_drop": -0.5})
    expected = {
        side: np.mean((regression.predicted(uri)["value"][:, 0] - regression.columns["y"]) ** 2)
        for side, uri in (
            ("candidate", candidate),
            ("baseline", regression.converted("float32", quantization="float32")),
        )
    }
    measured = verdict.measured.accuracy
    assert measured.higher_is_better is False
    for side, value in expected.items():
        assert getattr(measured, side) == pytest.approx(value, rel=1e-4)
    met, missed = [j for j in verdict.judgements if j.figure == "accuracy"]
    assert (met.bound, met.met) == ("max", True)
    assert missed.value == pytest.approx(expected["candidate"] - expected["baseline"], rel=1e-3)
    assert missed.reason.startswith("MeanSquaredError is ")
    assert missed.reason.endswith("worse than the baseline, -0.5 allowed")


def test_a_regression_teaches_a_smaller_one(regression: Kind) -> None:
    options = DistillOptions(student="smaller", epochs=8, batch_size=32, learning_rate=0.01)
    job = regression.job("student", options)
    run_step(distill, job)
    errors = regression.by_keras(job.output)["value"][:, 0] - regression.columns["y"]
    assert np.abs(errors).mean() < 0.6
    assert model_files.load(job.output).get_layer("hidden").units == 6


def test_an_autoencoder_learns_to_give_what_it_gets_in_every_step(make_kind: Any) -> None:
    flags = {"strange": np.zeros(600, np.int64)}, {"strange": np.arange(120) % 6 // 5}
    rows = (points(120, 2) * (1 + 2 * flags[1]["strange"][:, None])).astype(np.float32)
    splits = ({"x": x, **flag} for x, flag in zip((points(600, 1), rows), flags, strict=True))
    kind = make_kind("autoencoder", SAME_AS_INPUT, *splits)
    pruned = kind.job("pruned", PruneOptions(sparsity=0.3, epochs=2))
    facts = run_step(prune, pruned)
    candidate = kind.converted("pruned-int8", pruned.output, quantization="int8")

    strange = {"metric": "reconstruction_auc", "anomaly": "strange", "min": 0.5}
    verdict = kind.judged(candidate, [{"metric": "MeanSquaredError", "max": 2.0}, strange])

    rows = kind.columns["x"]
    apart = np.mean((kind.predicted(candidate)["again"].reshape(rows.shape) - rows) ** 2, axis=1)
    odd = kind.columns["strange"] > 0
    pairs = apart[odd][:, None] - apart[~odd][None]
    auc = np.mean((pairs > 0) + 0.5 * (pairs == 0))
    _, found = verdict.measured.accuracies
    assert (found.title, found.higher_is_better) == ("reconstruction_auc by strange", True)
    assert found.candidate == pytest.approx(auc, abs=1e-3)
    assert 0.7 < auc < found.baseline + 0.05
    error = np.mean((kind.predicted(candidate)["again"].reshape(rows.shape) - rows) ** 2)
    assert kind.history["val_loss"][-1] < 0.6 * np.mean(rows**2)
    assert facts["final_val_loss"] < np.mean(rows**2)
    assert verdict.blessed, verdict.reasons
    assert verdict.measured.accuracies[0].candidate == pytest.approx(error, rel=1e-3)
    # Numbers that are listed as classes are looked up, whatever the first one is.
    assert dataclasses.replace(kind.examples, label="x", classes=(1, 2)).vocabulary().names == ("1", "2")
    with pytest.raises(ExamplesError, match=r"data\.classes are text"):
        dataclasses.replace(kind.examples, label="x", classes=("a", "b")).vocabulary()


def masks_of(x: np.ndarray) -> dict[str, np.ndarray]:
    """A class for each of the four pixels: dark, grey and light."""
    return {
        "x": x,
        "classes": np.digitize(x, [-0.5, 0.7]).astype(np.int64),
        "group": (x[:, 0] > 0).astype(int),
    }


def test_a_mask_of_class_indices_is_learnt_and_judged_pixel_by_pixel(make_kind: Any) -> None:
    kind = make_kind("segmentation", "classes", masks_of(points(600, 1)), masks_of(points(120, 2)))
    pruned = kind.job("pruned", PruneOptions(sparsity=0.25, epochs=2))
    run_step(prune, pruned)
    candidate = kind.converted("pruned-int8", pruned.output, quantization="int8")
    overlap = {"num_classes": 3, "sparse_y_pred": False}

    verdict = kind.judged(
        candidate,
        [
            {"metric": "SparseCategoricalAccuracy", "min": 0.8, "slices": [{"by": "group", "min": 0.5}]},
            {"metric": "MeanIoU", "config": overlap, "min": 0.6},
        ],
    )

    found = kind.predicted(candidate)["mask"].argmax(axis=-1).reshape(len(kind.columns["x"]), 4)
    right = kind.columns["classes"]
    accuracy, iou = verdict.measured.accuracies
    assert verdict.blessed, verdict.reasons
    assert kind.history["val_accuracy"][-1] > 0.9
    assert accuracy.candidate == pytest.approx((found == right).mean(), abs=1e-6)
    assert iou.candidate == pytest.approx(
        metrics.jaccard_score(right.ravel(), found.ravel(), average="macro"), abs=1e-6
    )
    for entry in accuracy.slices:
        chosen = kind.columns["group"] == int(entry.values[0].value)
        assert entry.candidate == pytest.approx((found == right)[chosen].mean(), abs=1e-6)
        assert entry.examples == chosen.sum()
    # Images are resampled, and not pixels.
    each = (found == right).mean(axis=1)
    error = each.std() / np.sqrt(len(each))
    interval = accuracy.uncertainty.candidate
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * error, rel=0.3)
    assert accuracy.chance.constant == pytest.approx(
        np.bincount(right.ravel()).max() / right.size, abs=1e-6
    )


def tags_of(x: np.ndarray) -> dict[str, np.ndarray]:
    tags = np.stack([x[:, 0] > 0, x[:, 1] + x[:, 2] > 0.5, x[:, 3] < -0.3], axis=1)
    return {"x": x, "tags": tags.astype(np.int64), "group": (x[:, 0] > 1).astype(np.int64)}


def test_several_labels_at_once_are_judged_by_metrics_of_vectors(make_kind: Any) -> None:
    kind = make_kind("multilabel", "tags", tags_of(points(600, 3)), tags_of(points(120, 4)))
    candidate = kind.converted("int8", quantization="int8", io="int8")
    sections = [
        {"metric": "BinaryAccuracy", "min": 0.8, "slices": [{"by": "group", "min": 0.5}]},
        {"metric": "AUC", "config": {"num_thresholds": 10000}, "max_drop": 0.02},
        {"metric": "Precision", "config": {"top_k": 1}, "min": 0.5},
        {"metric": "Precision", "min": 0.5},
    ]
    verdict = kind.judged(candidate, sections)
    assert verdict.blessed, verdict.reasons
    found = {entry.title: entry for entry in verdict.measured.accuracies}
    given, tags = kind.predicted(candidate)["tags"], kind.columns["tags"]
    right = (given > 0.5) == tags
    assert found["BinaryAccuracy"].candidate == pytest.approx(right.mean(), abs=1e-6)
    for entry in found["BinaryAccuracy"].slices:
        chosen = kind.columns["group"] == int(entry.values[0].value)
        assert entry.candidate == pytest.approx(right[chosen].mean(), abs=1e-6)
    # Of all labels as one list: the micro average.
    area = metrics.roc_auc_score(tags.ravel(), given.ravel())
    assert found["AUC(num_thresholds=10000)"].candidate == pytest.approx(area, abs=1e-3)
    best = tags[np.arange(len(tags)), given.argmax(axis=1)]
    assert found["Precision(top_k=1)"].candidate == pytest.approx(best.mean(), abs=1e-6)
    assert found["Precision"].candidate == pytest.approx(tags[given > 0.5].mean(), abs=1e-6)
    student = kind.job(
        "student", DistillOptions(student="smaller_multilabel", epochs=8, learning_rate=0.01)
    )
    run_step(distill, student)
    assert np.mean((kind.by_keras(student.output)["tags"] > 0.5) == tags) > 0.8


def pairs(count: int, seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    small = random.uniform(0, 1, (count, 4)).astype(np.float32)
    large = random.uniform(0, 10, (count, 4)).astype(np.float32)
    gap = (4 * (small.mean(1) - large.mean(1) / 10)).astype(np.float32)
    return {"small": small, "large": large, "difference": gap, "bigger": (gap > 0).astype(np.int64)}


@pytest.fixture(scope="module")
def two(make_kind: Any) -> Kind:
    """Inputs of equal shape and other ranges, outputs of other kinds; neither in alphabetical order."""
    label = {"side": "bigger", "gap": "difference"}
    return make_kind("two", label, pairs(800, 5), pairs(120, 6))


def chain(two: Kind, technique: str) -> str:
    """Folder of the baseline's Keras model after a step."""
    if technique == "none":
        return two.uri
    work, options = {
        "prune": (prune, PruneOptions(sparsity=0.5, epochs=2, batch_size=32, learning_rate=0.005)),
        "qat": (train_quantization_aware, QatOptions(epochs=2, batch_size=32, learning_rate=0.002)),
    }[technique]
    job = two.job(technique, options)
    if not Path(job.output).exists():
        run_step(work, job)
    return job.output


@pytest.mark.parametrize(
    ("technique", "options"),
    [
        ("none", {"quantization": "int8", "io": "int8"}),
        ("prune", {"quantization": "float32"}),
        ("qat", {"quantization": "int8", "io": "int8"}),
    ],
)
def test_no_input_or_output_is_taken_for_another(two: Kind, technique: str, options: dict) -> None:
    base = chain(two, technique)
    file = two.predicted(two.converted(f"{technique}-file", base, **options))
    expected = two.by_keras(base)
    assert set(file) == set(expected) == {"side", "gap"}
    exact = options["quantization"] == "float32"
    for name, values in expected.items():
        assert np.abs(file[name] - values).max() < (1e-5 if exact else 0.8)
        assert np.abs(file[name] - values).mean() < (1e-6 if exact else 0.06)
    # The outputs still are what they were trained to be.
    assert np.abs(expected["gap"][:, 0] - two.columns["difference"]).mean() < 0.3
    assert np.mean(expected["side"].argmax(axis=1) == two.columns["bigger"]) > 0.85
    swapped = Kind(**{**vars(two), "columns": {**two.columns, "small": two.columns["large"]}})
    assert np.abs(swapped.by_keras(base)["gap"] - expected["gap"]).mean() > 1


def test_int8_inputs_have_scales_of_their_own(two: Kind) -> None:
    from ai_edge_litert.interpreter import Interpreter

    file = model_files.tflite_file(two.converted("none-file", two.uri, quantization="int8", io="int8"))
    details = Interpreter(file).get_signature_runner("serving_default").get_input_details()
    assert details["large"]["quantization"][0] == pytest.approx(10 / 255, rel=0.05)
    assert details["small"]["quantization"][0] == pytest.approx(1 / 255, rel=0.05)


def test_each_output_is_judged_by_its_own_metric(two: Kind) -> None:
    candidate = two.converted("none-file", two.uri, quantization="int8", io="int8")
    verdict = two.judged(
        candidate,
        [
            {"output": "gap", "metric": "MeanAbsoluteError", "max": 1e-6},
            {"output": "side", "metric": "SparseCategoricalAccuracy", "min": 0.5},
        ],
    )
    outputs = two.predicted(candidate)
    error = np.abs(outputs["gap"][:, 0] - two.columns["difference"]).mean()
    right = np.mean(outputs["side"].argmax(axis=1) == two.columns["bigger"])
    gap, side = verdict.measured.accuracies
    assert (gap.output, gap.candidate) == ("gap", pytest.approx(error, rel=1e-4))
    assert (side.output, side.candidate) == ("side", pytest.approx(right, abs=1e-6))
    assert verdict.measured.accuracy == gap
    (missed,) = verdict.missed
    assert (missed.metric, missed.output, missed.key) == (
        "MeanAbsoluteError", "gap", "gate.accuracy.0.max"
    )  # fmt: skip
    (reason,) = verdict.reasons
    assert reason.startswith("MeanAbsoluteError of gap 0.") and reason.endswith("is above 1e-06")


def test_distillation_of_several_outputs_is_refused(two: Kind) -> None:
    model = two.definition.build()
    with pytest.raises(DistillationError, match="has 2 outputs; `distill` takes one"):
        refuse_mismatch(model, two.definition.build(), DistillOptions(), model)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ({"side": "bigger"}, "output 'gap' of the model has no label; write data.label as output: feature"),
        (
            {"side": "bigger", "gap": "difference", "width": "large"},
            r"no output 'width'; its outputs are \['side', 'gap'\]",
        ),
    ],
)
def test_labels_of_other_outputs_are_refused(two: Kind, label: dict[str, str], message: str) -> None:
    data = Examples(**{**vars(two.examples), "label": label})
    with pytest.raises(ExamplesError, match=message):
        train_baseline(data, str(two.folder / "x"), str(two.folder / "x"), two.definition, TRAINING, seed=3)


def test_labels_that_do_not_fit_an_output_are_refused_before_keras_broadcasts_them(two: Kind) -> None:
    model = two.definition.build()
    features = {"small": two.columns["small"], "large": two.columns["large"]}
    labels = {"side": two.columns["bigger"], "gap": two.columns["small"]}
    with pytest.raises(ExamplesError, match=r"'small' has 4 values in an example, and output 'gap' has 1"):
        refuse_misfit(model, Arrays(features, labels), {"side": "bigger", "gap": "small"})
    labels = {"side": two.columns["small"], "gap": two.columns["difference"]}
    with pytest.raises(
        ExamplesError, match=r"takes one value, the index of a class, with sparse_categorical"
    ):
        refuse_misfit(model, Arrays(features, labels), {"side": "small", "gap": "difference"})


def digits(first: int, last: int) -> dict[str, np.ndarray]:
    found = datasets.load_digits()
    rows = (found.images[first:last] / 16).astype(np.float32)
    return {"rows": rows.reshape(len(rows), 64), "digit": found.target[first:last].astype(np.int64)}


def test_rows_of_a_digit_as_a_sequence(make_kind: Any) -> None:
    found = make_kind("recurrent", "digit", digits(0, 1200), digits(1200, 1500))
    candidate = found.converted("int8", quantization="int8", io="int8")
    verdict = found.judged(candidate, {"metric": "SparseCategoricalAccuracy", "min": 0.8, "max_drop": 0.03})
    assert verdict.blessed, verdict.reasons
    right = found.predicted(candidate)["digit"].argmax(axis=1) == found.columns["digit"]
    assert verdict.measured.accuracy.candidate == pytest.approx(right.mean(), abs=1e-6)
    ((layer, reason),) = [
        (one.layer, one.reason) for one in refusals(prepare(found.definition.build()), [])
    ]
    assert layer == "memory" and reason.startswith("GRU has no fake quantization in TFMOT")
    convolutional = dataclasses.replace(found.definition, hparams={"kind": "convolutional"})
    assert refusals(prepare(convolutional.build()), []) == []


def test_sequences_of_several_lengths_are_refused_by_name(tmp_path: Path) -> None:
    schema = (
        'feature { name: "steps" type: FLOAT } '
        'feature { name: "y" type: INT presence { min_fraction: 1 } shape { dim { size: 1 } } }'
    )
    rows = [to_example({"steps": np.ones(count, np.float32), "y": 1}) for count in (3, 5)]
    written = write_examples(tmp_path, schema, train=rows)
    data = Examples(str(written / "examples"), str(written / "schema"), None, "y")
    with pytest.raises(
        ExamplesError, match=r"'steps' has 3 values in one example and 5 in another.*pad sequences"
    ):
        data.load("train", {"steps": model_files.InputSpec((None,), np.float32)})


def test_what_an_output_is_comes_from_loss_and_last_layer(regression: Kind, two: Kind) -> None:
    assert [(k.name, k.shape, k.task, k.end) for k in kinds(two.definition.build())] == [
        ("side", (2,), "multiclass", "softmax"),
        ("gap", (1,), "regression", "linear"),
    ]
    (value,) = kinds(regression.definition.build())
    assert value.is_regression
    assert "counts classes" in str(value.metric_misfit("SparseCategoricalAccuracy", 1))
    assert value.metric_misfit("MeanSquaredError", 1) is None
    side, _ = kinds(two.definition.build())
    assert "value by value" in str(side.metric_misfit("MeanSquaredError", 1))
    assert "takes the index of a class" in str(side.metric_misfit("SparseCategoricalAccuracy", 2))
    assert side.metric_misfit("SparseCategoricalAccuracy", 1) is None
    assert side.metric_misfit("AUC", 1) is None
