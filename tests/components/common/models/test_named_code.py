"""The lists of what may be loaded are those of the installed tf_keras and TensorFlow."""

from __future__ import annotations

from pathlib import Path

import pytest
import tensorflow as tf
import tf_keras

from components.common.models import named_code, saved_model_file


@pytest.mark.parametrize(
    "module",
    [
        "layers",
        "initializers",
        "regularizers",
        "constraints",
        "optimizers",
        "optimizers.schedules",
        "losses",
        "metrics",
    ],
)
def test_every_public_class_is_known_but_lambda(module: str) -> None:
    public = tf_keras
    for part in module.split("."):
        public = getattr(public, part)
    classes = {
        name for name, value in vars(public).items() if isinstance(value, type) and name[0].isupper()
    }
    bases = {
        "Initializer",
        "Regularizer",
        "Constraint",
        "Optimizer",
        "LearningRateSchedule",
        "Loss",
        "Metric",
    }
    enums = {"ReductionV2"}

    # Aliases such as MAE are functions' names as well, and no file has them for a class.
    known = named_code.CLASSES | {"Lambda"} | bases | enums
    assert {getattr(public, name).__name__ for name in classes} - known == set()
    assert "Lambda" not in named_code.CLASSES


def test_functions_are_those_of_keras() -> None:
    modules = ("activations", "losses", "metrics", "initializers", "regularizers", "constraints")
    public = {name for module in modules for name in dir(getattr(tf_keras, module))} | {"silu", "relu6"}

    assert named_code.FUNCTIONS - public == set()
    assert not named_code.FUNCTIONS & {"get", "deserialize", "serialize"}


def test_operations_are_those_of_tensorflow_that_only_compute() -> None:
    allowed = [
        name for name in named_code._OPS if not hasattr(tf, name) and not hasattr(tf.compat.v1, name)
    ]

    assert set(allowed) <= {"broadcast_dynamic_shape", "extract_volume_patches", "matrix_square_root"}
    assert not named_code._OPS & {"py_function", "numpy_function", "load_op_library", "function", "print"}


def test_forbidden_operators_exist() -> None:
    registered = set(dir(tf.raw_ops))
    elsewhere = {name for name in saved_model_file.FORBIDDEN if name.startswith(("Rpc", "XlaCustom"))}

    others = {"TryRpc", "InitializeTRTResource", "SerializeTRTResource"}
    assert saved_model_file.FORBIDDEN - registered == elsewhere | others


def test_a_saved_model_is_read_as_tensorflow_reads_it(tmp_path: Path) -> None:
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    module = tf.Module()
    module.weight = tf.Variable([[1.0, 2.0]], name="w")
    inner = tf.function(lambda x: tf.nn.relu(x @ module.weight), autograph=False)
    spec = tf.TensorSpec([None, 1], tf.float32, "x")
    module.serve = tf.function(lambda x: {"y": inner(x)}, autograph=False, input_signature=[spec])
    tf.saved_model.save(module, str(tmp_path), signatures=module.serve)
    ours = saved_model_file.read(str(tmp_path))
    with open(f"{tmp_path}/saved_model.pb", "rb") as file:
        (theirs,) = SavedModel.FromString(file.read()).meta_graphs

    (signature,) = (theirs.signature_def[name] for name in ours.signatures)
    assert [*ours.signatures] == ["serving_default"]
    for side, values in (("inputs", signature.inputs), ("outputs", signature.outputs)):
        mine = getattr(ours.signatures["serving_default"], side)
        assert {name: (port.shape, port.dtype) for name, port in mine.items()} == {
            name: (
                tuple(None if dim.size < 0 else dim.size for dim in info.tensor_shape.dim),
                tf.dtypes.as_dtype(info.dtype).name,
            )
            for name, info in values.items()
        }
    nodes = [*theirs.graph_def.node, *(n for f in theirs.graph_def.library.function for n in f.node_def)]
    assert set(ours.operators) <= {node.op for node in nodes}
    assert (ours.operators.count("Relu"), ours.operators.count("MatMul"), ours.forbidden) == (1, 1, ())
    assert all(tf.dtypes.as_dtype(number).name == name for number, name in saved_model_file.DTYPES.items())
