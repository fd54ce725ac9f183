"""Options of `convert`: what cannot work is refused before anything heavy is imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from components.common.base.held_back_limit import HeldBackLimit
from components.pruner.params import PruneOptions
from components.quantization_aware_trainer.params import QatOptions
from components.tflite_converter.params import ConvertOptions, RepairOptions, resolve_granularity

ROOT = Path(__file__).parents[3]


def message(**options: Any) -> str:
    """The one message that options are refused with."""
    with pytest.raises(ValidationError) as raised:
        ConvertOptions(**options)
    (error,) = raised.value.errors()
    return error["msg"].removeprefix("Value error, ")


def test_defaults_leave_everything_to_the_quantization() -> None:
    options = ConvertOptions(quantization="int8")

    assert options.model_dump() == {
        "quantization": "int8",
        "io": "float32",
        "calibration_examples": 200,
        "granularity": "auto",
        "sparse": False,
        "float_ops": [],
        "float_layers": [],
        "supported_ops": [],
    }
    assert options.slug() == "convert-int8"
    assert ConvertOptions(quantization="int8", sparse=True).slug().startswith("convert-int8-")


@pytest.mark.parametrize(
    ("options", "clustered", "wanted"),
    [
        ({"quantization": "int8"}, False, "per-channel"),
        ({"quantization": "int8"}, True, "per-tensor"),
        ({"quantization": "dynamic"}, True, "per-tensor"),
        ({"quantization": "int16x8"}, True, "per-tensor"),
        ({"quantization": "float32"}, True, "per-channel"),
        ({"quantization": "float16"}, True, "per-channel"),
        ({"quantization": "int8", "granularity": "per-channel"}, True, "per-channel"),
        ({"quantization": "int8", "granularity": "per-tensor"}, False, "per-tensor"),
    ],
)
def test_granularity_follows_the_clusters(options: dict[str, Any], clustered: bool, wanted: str) -> None:
    assert resolve_granularity(ConvertOptions(**options), clustered) == wanted


@pytest.mark.parametrize("quantization", ["float32", "float16"])
@pytest.mark.parametrize("granularity", ["per-channel", "per-tensor"])
def test_weights_without_scales_have_no_granularity(quantization: str, granularity: str) -> None:
    said = message(quantization=quantization, granularity=granularity)

    assert said.startswith(f"granularity: {granularity} has no meaning for {quantization}")
    assert said.endswith("leave it out, or write quantization: dynamic, int8 or int16x8")


@pytest.mark.parametrize(
    ("quantization", "why"), [("dynamic", "no kernel for convolutions"), ("int16x8", "int16x8 biases")]
)
def test_sparse_files_that_cannot_load_are_refused(quantization: str, why: str) -> None:
    said = message(quantization=quantization, sparse=True)

    assert f"sparse: true does not work with {quantization}: " in said and why in said
    assert said.endswith("or write quantization: float32, float16 or int8")


@pytest.mark.parametrize("quantization", ["float32", "float16", "int8"])
def test_sparse_files_that_may_load_are_allowed(quantization: Any) -> None:
    assert ConvertOptions(quantization=quantization, sparse=True).sparse


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("SOFTMX", "did you mean 'SOFTMAX'?"),
        ("softmax", "did you mean 'SOFTMAX'?"),
        ("Conv2D", "did you mean 'CONV_2D'?"),
        ("FULLY_CONECTED", "did you mean 'FULLY_CONNECTED'?"),
        ("zzz", "write names such as SOFTMAX or FULLY_CONNECTED"),
        ("DELEGATE", "write names such as"),
    ],
)
def test_an_unknown_operator_is_reported_with_the_nearest_one(written: str, meant: str) -> None:
    said = message(quantization="int8", float_ops=["SOFTMAX", written])

    assert said.startswith(f"{written!r} is not an operator of TensorFlow Lite; ")
    assert meant in said or written == "DELEGATE"


def test_packing_is_left_out_of_what_is_written_unless_it_is_asked_for() -> None:
    asked = ConvertOptions(quantization="int8", pack="auto")

    assert not {"pack", "pack_memory"} & ConvertOptions(quantization="int8").model_dump().keys()
    assert asked.model_dump()["pack"] == "auto" and "pack_memory" not in asked.model_dump()
    assert asked.packed_within(None) == asked and asked.packed_within(16e3).pack_memory == 16_000
    own = ConvertOptions(quantization="int8", pack="auto", pack_memory="10 kB")
    assert own.packed_within(16e3).pack_memory == 10_000
    assert ConvertOptions.from_canonical(own.canonical_json()) == own
    every = ConvertOptions(quantization="int8", pack="lut")
    assert every.packed_within(16e3) == every
    assert message(quantization="int8", pack="lut", pack_memory=1) == (
        "pack_memory limits what pack: auto chooses; write pack: auto, or remove it"
    )


@pytest.mark.parametrize("name", ["float_ops", "float_layers"])
def test_float_parts_are_of_int8_files(name: str) -> None:
    parts = {name: ["SOFTMAX"]}

    assert "int8 file in float (this is dynamic)" in message(quantization="dynamic", **parts)
    assert f"sparse: true and {name} cannot be combined" in message(
        quantization="int8", sparse=True, **parts
    )
    assert f"only integers, which {name} contradicts" in message(
        quantization="int8", supported_ops=["TFLITE_BUILTINS_INT8"], **parts
    )


def test_kinds_of_operators_fit_the_quantization() -> None:
    assert "TFLITE_BUILTINS_INT8 needs quantization: int8 (this is float32)" in message(
        quantization="float32", supported_ops=["TFLITE_BUILTINS_INT8"]
    )
    assert "write [TFLITE_BUILTINS, SELECT_TF_OPS]" in message(
        quantization="float32", supported_ops=["SELECT_TF_OPS"]
    )
    assert "names a kind twice" in message(
        quantization="float32", supported_ops=["TFLITE_BUILTINS", "TFLITE_BUILTINS"]
    )
    assert "'SELECT_TF_OPS'" in message(quantization="float32", supported_ops=["FLEX"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"quantization": "int8", "float_ops": ["SOFTMAX"]}, "`qat` has its own `exclude`"),
        ({"quantization": "int8", "float_layers": ["dense"]}, "`qat` has its own `exclude`"),
        ({"quantization": "int8", "granularity": "per-tensor"}, "whose scales `qat` has trained"),
        ({"quantization": "int8", "supported_ops": ["TFLITE_BUILTINS_INT8"]}, "after `qat` write"),
        ({"quantization": "float16"}, "`convert` to float16 would not keep that"),
    ],
)
def test_what_training_for_int8_has_settled_is_not_settled_again(options: Any, said: str) -> None:
    asked = ConvertOptions(**options)

    with pytest.raises(ValueError, match=said):
        asked.check_after(QatOptions())
    asked.check_after(PruneOptions(sparsity=0.5))
    ConvertOptions(quantization="int8", io="int8", sparse=True).check_after(QatOptions())


def test_options_need_neither_tensorflow_nor_numpy_unless_operators_are_named() -> None:
    code = (
        "import sys; from components.tflite_converter.params import ConvertOptions as C;"
        "C(quantization='int8', float_layers=['dense']); print('numpy' in sys.modules, end=' ');"
        "C(quantization='int8', float_ops=['SOFTMAX']); print('tensorflow' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == ["False", "False"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"quantization": "int16x8"}, "repair is about layers of an int8 file (this is int16x8); write quantization: "
         "int8, or remove it"),
        ({"io": "uint8"}, "repair cannot be combined with io: uint8, which the quantizer that leaves layers in float "
         "does not write; write io: float32 or int8"),
        ({"sparse": True}, "repair cannot be combined with sparse: true, as the quantizer that leaves layers in float "
         "writes no sparse encoding; remove one of the two"),
        ({"supported_ops": ["TFLITE_BUILTINS_INT8"]}, "supported_ops: [TFLITE_BUILTINS_INT8] allows only integers, and "
         "repair leaves layers in float; remove one of the two"),
        ({"limits": [{"metric": "AUC"}]}, "no metric in limits has a limit, so repair has no aim; write e.g. max_drop: "
         "0.01"),
    ],
    ids=["int16x8", "uint8", "sparse", "only integers", "no limit"],
)  # fmt: skip
def test_repair_needs_an_int8_file_that_may_have_float_in_it(
    options: dict[str, Any], expected: str
) -> None:
    assert message(**{"quantization": "int8", "repair": {"max_float": 1}, **options}) == expected


def test_repair_is_not_for_quantization_aware_models() -> None:
    options = ConvertOptions(quantization="int8", repair=RepairOptions())
    with pytest.raises(ValueError, match=r"repair is for post-training .* by `exclude` of `qat`"):
        options.check_after(QatOptions())


def test_limits_belong_to_something_that_uses_them() -> None:
    assert message(quantization="int8", limits=[{"metric": "AUC"}]) == (
        "limits belong to repair and layer_errors; write one of them, or remove it"
    )


def test_options_of_a_repair_are_read_back_as_they_were_written() -> None:
    limit = HeldBackLimit(metric="AUC", max_drop=0.01)
    options = ConvertOptions(quantization="int8", repair=RepairOptions(max_float=1)).limited_by([limit])
    assert ConvertOptions.from_canonical(options.canonical_json()) == options
    # Of other conversions, not a letter changes.
    assert ConvertOptions(quantization="int8").limited_by([limit]) == ConvertOptions(quantization="int8")
