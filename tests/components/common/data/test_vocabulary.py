"""String labels as indices of classes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from components.common.data import vocabulary
from components.common.data.examples import Examples
from components.common.data.model_inputs import ExamplesError, InputSpec
from components.common.data.vocabulary import Vocabulary, VocabularyError
from components.measurer.class_extractor import to_indices
from components.tflite_converter.executor import convert_model
from components.tflite_converter.params import ConvertOptions
from tests.components.conftest import make_job, run_step
from tests.conftest import Trained, to_example, write_examples

SCHEMA = """
feature { name: "x" type: FLOAT presence { min_fraction: 1 } shape { dim { size: 1 } } }
feature { name: "label" type: BYTES domain: "label" presence { min_fraction: 1 } shape { dim { size: 1 } } }
string_domain { name: "label" value: "owl" value: "cat" value: "élan" }
"""
INPUT = {"x": InputSpec((1,), np.float32)}
NAMES = ("owl", "cat", "élan")


def examples_in(folder: Path, schema: str = SCHEMA, **fields: Any) -> Examples:
    """Examples whose feature `x` says which class they are of, by its place in NAMES."""
    order = [0, 1, 2, 2, 1, 1, 2, 0, 1]
    rows = [to_example({"x": float(i), "label": NAMES[i]}) for i in order]
    unseen = [to_example({"x": 0.0, "label": "dog"})]
    written = write_examples(folder / "data", schema, train=rows, eval=[*rows[:2], *unseen])
    return Examples(str(written / "examples"), str(written / "schema"), None, "label", **fields)


@pytest.mark.parametrize(
    ("classes", "order"),
    [((), ("cat", "owl", "élan")), (("élan", "owl", "cat"),) * 2],
    ids=["schema", "written"],
)
def test_labels_are_indices_of_classes(tmp_path: Path, classes: tuple, order: tuple) -> None:
    examples = examples_in(tmp_path, classes=classes)
    arrays = examples.load("train", INPUT)

    assert examples.vocabulary() == Vocabulary(order)
    assert arrays.labels.dtype == np.int64 and arrays.labels.shape == (9,)
    assert [order[index] for index in arrays.labels] == [NAMES[int(x)] for x in arrays.features["x"][:, 0]]


@pytest.mark.parametrize("name", ["two\\nlines", " ", ""])
def test_a_class_has_one_line_of_labels_txt(tmp_path: Path, name: str) -> None:
    schema = SCHEMA.replace('value: "owl"', f'value: "{name}"')
    with pytest.raises(
        VocabularyError, match=r"^label 'label' has .*cannot be names of classes.*labels\.txt"
    ):
        examples_in(tmp_path, schema).vocabulary()


def test_an_unseen_label_is_named_with_its_split(tmp_path: Path) -> None:
    examples = examples_in(tmp_path)
    with pytest.raises(
        VocabularyError, match=r"label 'label' of split 'eval' has 'dog', which the classes \['cat', "
    ):
        examples.load("eval", INPUT)


def test_the_evaluator_maps_labels_alike_and_leaves_features_as_they_are() -> None:
    labels = np.array([[b"owl"], [b"cat"]], dtype=object)
    extracts = {"labels": {"candidate": labels, "baseline": labels}, "features": {"label": labels}}
    mapped = to_indices(extracts, Vocabulary(NAMES), "label")

    for model in ("candidate", "baseline"):
        assert mapped["labels"][model].tolist() == [[0], [1]]
    assert mapped["features"]["label"] is labels
    assert to_indices({"labels": labels}, Vocabulary(NAMES), "label")["labels"].tolist() == [[0], [1]]
    for wrong, reason in (
        (np.array([[b"dog"]]), "split 'eval' has 'dog'"),
        (None, "does not have one value"),
    ):
        with pytest.raises(VocabularyError, match=reason):
            to_indices({"labels": {"candidate": wrong}}, Vocabulary(NAMES), "label")


def test_a_domain_may_be_inside_the_feature_and_numbers_have_none() -> None:
    inline = """feature { name: "label" type: BYTES string_domain { value: "b" value: "a" } }
                feature { name: "n" type: INT int_domain { min: 0 } }"""
    schema = text_format.Parse(inline, schema_pb2.Schema())
    assert vocabulary.of_schema(schema, "label") == Vocabulary(("a", "b"))
    for other in ("n", "none"):
        with pytest.raises(VocabularyError, match=r"write data\.classes"):
            vocabulary.of_schema(schema, other)


def test_more_classes_than_a_schema_lists_have_to_be_written(tmp_path: Path) -> None:
    """TFDV itself infers a domain of 100 values, and none of 101."""
    import tensorflow_data_validation as tfdv
    from tensorflow_metadata.proto.v0 import statistics_pb2

    for count in (100, 101):
        statistics = statistics_pb2.DatasetFeatureStatisticsList()
        dataset = statistics.datasets.add(num_examples=count)
        feature = dataset.features.add(type=statistics_pb2.FeatureNameStatistics.STRING)
        feature.path.step.append("label")
        feature.string_stats.common_stats.num_non_missing = count
        feature.string_stats.common_stats.min_num_values = (
            feature.string_stats.common_stats.max_num_values
        ) = 1
        feature.string_stats.unique = count
        for number in range(count):
            feature.string_stats.rank_histogram.buckets.add(label=f"c{number:03}", sample_count=1)
        schema = tfdv.infer_schema(statistics)
        if count == 100:
            assert vocabulary.of_schema(schema, "label").names == tuple(f"c{i:03}" for i in range(100))
        else:
            with pytest.raises(VocabularyError, match=r"it lists 100 at most.*write data.classes: \[...\]"):
                vocabulary.of_schema(schema, "label")


def test_numbers_are_taken_as_they_are(tmp_path: Path) -> None:
    schema = SCHEMA.replace('type: BYTES domain: "label"', "type: INT")
    written = write_examples(tmp_path, schema, train=[to_example({"x": 1.0, "label": 7})])
    plain = Examples(str(written / "examples"), str(written / "schema"), None, "label")

    assert plain.vocabulary() is None and plain.load("train", INPUT).labels.tolist() == [7]
    named = Examples(plain.uri, plain.schema_uri, None, "label", classes=("a", "b"))
    with pytest.raises(ExamplesError, match=r"label 'label' holds numbers.*leave classes out"):
        named.load("train", INPUT)


@pytest.mark.parametrize(
    ("shape", "count", "refused"),
    [((None, 3), 3, None), ((None, 1), 2, None), ((None, 1), 3, "has 1 outputs, and the label 3 classes"),
     ((None, 10), 3, "has 10 outputs, and the label 3 classes: ['c0', 'c1', 'c2']; give the last layer 3 units"),
     ([(None, 3), (None, 3)], 3, "several outputs")],
)  # fmt: skip
def test_the_model_has_an_output_for_each_class(shape: Any, count: int, refused: str | None) -> None:
    names = [f"c{index}" for index in range(count)]
    if refused is None:
        vocabulary.refuse_other_outputs(names, shape)
        return
    with pytest.raises(VocabularyError) as error:
        vocabulary.refuse_other_outputs(names, shape)
    assert refused in str(error.value)


def test_labels_txt_has_a_class_a_line(tmp_path: Path) -> None:
    Vocabulary(NAMES).write(str(tmp_path))
    assert (tmp_path / "labels.txt").read_bytes() == "owl\ncat\nélan\n".encode()


def test_a_file_is_not_named_by_classes_that_it_has_no_outputs_for(
    trained: Trained, tmp_path: Path
) -> None:
    """A model that comes from elsewhere was not held against the classes when it was trained."""
    schema = SCHEMA.replace('"x" type: FLOAT', '"image" type: INT').replace("size: 1", "size: 784", 1)
    rows = [to_example({"image": np.zeros(784, int), "label": name}) for name in NAMES]
    written = write_examples(tmp_path / "data", schema, train=rows, eval=rows)
    examples = Examples(str(written / "examples"), str(written / "schema"), None, "label")
    job = make_job(trained.uri, tmp_path / "out", ConvertOptions(quantization="float32"), examples)

    with pytest.raises(VocabularyError, match="the model has 10 outputs, and the label 3 classes"):
        run_step(convert_model, job)
    assert not (tmp_path / "out" / "Format-Serving").exists()
    named = replace(examples, classes=(*NAMES, *(f"c{number}" for number in range(7))))
    run_step(convert_model, replace(job, examples=named))
    folder = tmp_path / "out" / "Format-Serving"
    assert sorted(path.name for path in folder.iterdir()) == ["labels.txt", "tflite"]
    assert (folder / "labels.txt").read_text(encoding="utf-8").splitlines()[:4] == [*NAMES, "c0"]
