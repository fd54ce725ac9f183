"""A small data set that went through Transform, with what TFX's nodes leave of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.conftest import to_example, write_examples

# `note` is used by nothing, `tips` by the label alone; `amount`, `hour` and `kind` may be missing.
RAW_SCHEMA = """
feature { name: "amount" type: FLOAT value_count { min: 1 max: 1 } presence { min_count: 1 } }
feature { name: "hour" type: INT value_count { min: 1 max: 1 } presence { min_count: 1 } }
feature { name: "kind" type: BYTES value_count { min: 1 max: 1 } presence { min_count: 1 } }
feature { name: "note" type: BYTES presence { min_fraction: 1 } shape { dim { size: 1 } } }
feature { name: "size (m)" type: FLOAT presence { min_fraction: 1 } shape { dim { size: 1 } } }
feature { name: "tips" type: FLOAT presence { min_fraction: 1 } shape { dim { size: 1 } } }
"""
KINDS = ["cash", "card", "card", "none", "cheque"]
COUNTS = {"train": 200, "eval": 120}
WIDTHS = {"numbers": 3, "words": 4}


def preprocessing_fn(inputs: dict[str, Any]) -> dict[str, Any]:
    """Z-scores, a logarithm, and a vocabulary as one-hot columns."""
    import tensorflow as tf
    import tensorflow_transform as tft

    def filled(name: str, default: Any) -> Any:
        values = inputs[name]
        # One value each: in a batch without any, the sparse tensor has no column.
        values = tf.sparse.SparseTensor(values.indices, values.values, [values.dense_shape[0], 1])
        return tf.reshape(tf.sparse.to_dense(values, default), [-1, 1])

    amount, size = filled("amount", 0.0), inputs["size (m)"]
    hour = tf.cast(filled("hour", tf.constant(-1, tf.int64)), tf.float32)
    word = tft.compute_and_apply_vocabulary(
        filled("kind", ""), top_k=3, num_oov_buckets=1, vocab_filename="kind"
    )
    return {
        "numbers": tf.concat([tft.scale_to_z_score(amount), tf.math.log1p(size), hour / 24.0], axis=1),
        "words": tf.reshape(tf.one_hot(word, WIDTHS["words"]), [-1, WIDTHS["words"]]),
        "label": tf.cast(inputs["tips"] > amount * 0.2, tf.int64),
    }


def rows(split: str) -> list[dict[str, Any]]:
    """Raw examples; every seventh amount, ninth hour and eleventh kind is missing."""
    rng = np.random.default_rng({"train": 1, "eval": 2}[split])
    found = []
    for index in range(COUNTS[split]):
        row: dict[str, Any] = {
            "note": f"{split}-{index}",
            "size (m)": float(rng.uniform(0, 50)),
            "tips": float(rng.uniform(0, 3)),
        }
        if index % 7:
            row["amount"] = float(rng.uniform(1, 20))
        if index % 9:
            row["hour"] = int(rng.integers(0, 24))
        if index % 11:
            row["kind"] = KINDS[rng.integers(len(KINDS))]
        found.append(row)
    return found


@dataclass(frozen=True)
class Transformed:
    """Folders of artifacts.

    Attributes:
        raw: The raw examples, with their schema.
        uri: URI of the transformed examples.
        graph: Graph of the transform graph.
    """

    raw: Path
    uri: Path
    graph: Path

    def examples(self) -> Any:
        from components.common.data.examples import Examples

        schema = str(self.raw / "schema")
        return Examples(str(self.uri / "examples"), schema, str(self.graph), "label")

    def raw_examples(self) -> Any:
        from components.common.data.examples import Examples

        return Examples(str(self.raw / "examples"), str(self.raw / "schema"), None, "label")


def transform(folder: Path) -> Transformed:
    """Writes the data set and runs Transform's own Beam stages on it."""
    import apache_beam as beam
    import tensorflow_transform.beam as tft_beam
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2
    from tensorflow_transform.tf_metadata import dataset_metadata, metadata_io
    from tfx_bsl.public import tfxio

    records = {split: [to_example(row) for row in rows(split)] for split in COUNTS}
    raw = write_examples(folder / "raw", RAW_SCHEMA, **records)
    schema = text_format.Parse(RAW_SCHEMA, schema_pb2.Schema())
    graph = folder / "graph"

    def source(split: str) -> Any:
        files = [str(path) for path in (raw / "examples" / f"Split-{split}").glob("*")]
        return tfxio.TFExampleRecord(file_pattern=files, schema=schema, telemetry_descriptors=["test"])

    with beam.Pipeline() as pipeline, tft_beam.Context(temp_dir=str(folder / "temp")):
        data = {
            split: (
                pipeline | f"Read{split}" >> source(split).BeamSource(),
                source(split).TensorAdapterConfig(),
            )
            for split in COUNTS
        }
        function = data["train"] | tft_beam.AnalyzeDataset(preprocessing_fn)
        _ = function | tft_beam.WriteTransformFn(str(graph))
        for split, read in data.items():
            made, _ = (read, function) | f"Transform{split}" >> tft_beam.TransformDataset()
            _ = (
                made
                | f"Encode{split}" >> beam.Map(to_example)
                | f"Write{split}"
                >> beam.io.WriteToTFRecord(
                    str(folder / "transformed" / "examples" / f"Split-{split}" / "data"),
                    file_name_suffix=".gz",
                )
            )
    metadata_io.write_metadata(dataset_metadata.DatasetMetadata(schema), str(graph / "metadata"))
    return Transformed(raw, folder / "transformed", graph)


MODULE = "tests.components.transformed"


def build_model(hparams: dict[str, Any]) -> Any:
    """A small classifier; its weights are drawn, not trained."""
    import tf_keras

    tf_keras.utils.set_random_seed(hparams["seed"])
    inputs = {name: tf_keras.layers.Input((width,), name=name) for name, width in WIDTHS.items()}
    joined = tf_keras.layers.Concatenate()(list(inputs.values()))
    hidden = tf_keras.layers.Dense(16, activation="relu", name="hidden")(joined)
    output = tf_keras.layers.Dense(1, activation="sigmoid", name="chance")(hidden)
    model = tf_keras.Model(list(inputs.values()), output)
    model.compile("adam", "binary_crossentropy")
    return model


@dataclass(frozen=True)
class Served:
    """Folders of `Model` artifacts: the Keras model, and what it was converted to."""

    keras: Path
    float32: Path
    int8: Path


def serve(transformed: Transformed, folder: Path, seed: int = 5) -> Served:
    """Saves a model and converts it as the pipeline does."""
    from components.common.models import model_files
    from components.common.models.model_definition import ModelDefinition
    from components.common.models.model_files import StepRecord
    from components.tflite_converter.executor import convert_model
    from components.tflite_converter.params import ConvertOptions
    from tests.components.conftest import make_job, run_step

    model_files.save(build_model({"seed": seed}), str(folder / "keras"), list(WIDTHS), StepRecord())
    for quantization in ("float32", "int8"):
        job = make_job(
            folder / "keras",
            folder / quantization,
            ConvertOptions(quantization=quantization),
            transformed.examples(),
            definition=ModelDefinition(MODULE, {"seed": seed}),
        )
        run_step(convert_model, job)
    return Served(folder / "keras", folder / "float32", folder / "int8")


def features_by_numpy(given: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """What `preprocessing_fn` makes of raw rows, computed without TensorFlow."""
    train = rows("train")
    amounts = np.array([row.get("amount", 0.0) for row in train], np.float32).astype(np.float64)
    counts: dict[str, int] = {}
    for row in train:
        if row.get("kind"):
            counts[row["kind"]] = counts.get(row["kind"], 0) + 1
    known = sorted(counts, key=lambda word: (-counts[word], word))[:3]
    numbers = [
        [
            (row.get("amount", 0.0) - amounts.mean()) / amounts.std(),
            np.log1p(row["size (m)"]),
            row.get("hour", -1) / 24,
        ]
        for row in given
    ]
    words = [known.index(row["kind"]) if row.get("kind") in known else 3 for row in given]
    return {"numbers": np.array(numbers, np.float32), "words": np.eye(4, dtype=np.float32)[words]}
