"""Ranges are those of the values, by each method; what is clipped afterwards is counted."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tf_keras

from components.common.base.activation_ranges import ActivationRange, RangeError, findings, refuse_wrong
from components.common.base.calibration import Calibration
from components.common.tfmot.calibration import calibrate, measure_ranges
from components.common.tfmot.ranges import Range, clipped_shares, observe, ranges_of
from tests.components.common.tfmot.models import aware, images

layers = tf_keras.layers


def conv_net() -> tf_keras.Model:
    return aware(
        layers.Conv2D(4, 3, name="c", use_bias=False),
        layers.BatchNormalization(name="bn"),
        layers.ReLU(name="r"),
        layers.MaxPooling2D(name="pool"),
        layers.Flatten(),
        layers.Dense(5, activation="softmax", name="d"),
    )


def ends(model: tf_keras.Model) -> dict[str, tuple[float, float]]:
    return {found.tensor: found.read() for found in ranges_of(model)}


def test_the_ranges_of_a_model_are_found_where_fake_quantization_is() -> None:
    found = ends(conv_net())

    # A softmax is fake-quantized before it is applied, and a convolution that BatchNormalization follows is not.
    assert sorted(found) == ["d:input", "r", "x"]
    assert set(found.values()) == {
        (-6.0, 6.0),
        (0.0, 0.0),
    }  # TFMOT's start; of inputs it takes every value


def test_minmax_takes_the_extremes_of_the_float_model() -> None:
    model, features = conv_net(), images()
    calibrate(model, features, Calibration())

    seen: dict[str, list[float]] = {}

    def see(found: Range, values: object) -> None:
        seen.setdefault(found.tensor, []).extend((float(np.min(values)), float(np.max(values))))

    observe(model, features, see, quantize=False)
    for tensor, (low, high) in ends(model).items():
        assert low == min(0.0, *seen[tensor])
        assert high == max(seen[tensor])
    assert ends(model)["r"][0] == 0.0
    assert ends(model)["r"][1] > 20


def test_ranges_of_kernels_are_those_of_the_kernels() -> None:
    model = conv_net()
    calibrate(model, images(), Calibration())

    ((kernel, _, variables),) = model.get_layer("quant_c")._weight_vars
    largest = np.abs(kernel.numpy()).max(axis=(0, 1, 2))
    np.testing.assert_allclose(variables["max_var"].numpy(), largest)
    np.testing.assert_allclose(variables["min_var"].numpy(), -largest)


def one_input(values: np.ndarray) -> tuple[tf_keras.Model, dict[str, np.ndarray]]:
    """A model whose input has these values."""
    model = aware(layers.Flatten(), layers.Dense(1, name="d"), shape=(10,))
    return model, {"x": values.reshape(-1, 10).astype(np.float32)}


def test_percentile_leaves_out_the_most_extreme_values() -> None:
    values = np.random.default_rng(1).uniform(0, 10, 10_000)
    values[0] = 1000
    model, features = one_input(values)

    calibrate(model, features, Calibration(method="percentile", percentile=99.9))
    low, high = ends(model)["x"]
    assert low == 0.0
    assert 9.9 < high < 12
    assert clipped_shares(model, features)["x"] == pytest.approx(1 / 10_000)


def test_mse_takes_the_range_with_the_least_error() -> None:
    values = np.random.default_rng(1).normal(size=100_000)
    values[0] = 40
    model, features = one_input(values)

    def error() -> float:
        low, high = ends(model)["x"]
        step = (high - low) / 255
        rounded = np.clip(np.round((values - low) / step), 0, 255) * step + low
        return float(np.mean((rounded - values) ** 2))

    errors = {}
    for method in ("minmax", "percentile", "mse"):
        calibrate(model, features, Calibration(method=method))
        errors[method] = error()
    assert errors["mse"] < 0.9 * errors["minmax"]
    assert errors["mse"] < 0.9 * errors["percentile"]


@pytest.mark.parametrize("method", ["minmax", "percentile", "mse"])
def test_a_tensor_that_is_always_zero_gets_a_range(method: str) -> None:
    model, features = one_input(np.zeros(100))
    calibrate(model, features, Calibration(method=method))

    low, high = ends(model)["x"]
    assert low == 0
    assert 0 < high < 0.1
    assert np.all(np.isfinite(model(list(features.values()), training=False)))
    measured = measure_ranges(model, features, features, Calibration(method=method))
    assert measured["x"].clipped == measured["x"].unsettled == 0


def test_observing_leaves_the_model_as_it_was() -> None:
    model, features = conv_net(), images()
    calibrate(model, features, Calibration())
    before, inputs = ends(model), list(features.values())
    outputs = model(inputs, training=False).numpy()

    shares = clipped_shares(model, features)
    assert set(shares.values()) == {0.0}
    assert ends(model) == before
    np.testing.assert_array_equal(model(inputs, training=False), outputs)
    model(inputs, training=True)  # quantizers move ranges again
    assert ends(model)["r"] != before["r"]


def narrowed(model: tf_keras.Model, tensor: str, factor: float) -> None:
    (found,) = [found for found in ranges_of(model) if found.tensor == tensor]
    low, high = found.read()
    found.set(low * factor, high * factor)


@pytest.mark.parametrize(
    ("change", "clips", "unsettled"),
    [
        (lambda model: None, 0.0, 0.0),
        (lambda model: narrowed(model, "r", 0.25), 0.1, 0.75),
        (lambda model: narrowed(model, "r", 5), 0.0, 4.0),
    ],
    ids=["as calibrated", "too narrow", "too wide"],
)
def test_what_a_range_clips_and_how_far_it_is_off_is_measured(
    change: Callable[[tf_keras.Model], None], clips: float, unsettled: float
) -> None:
    model, features = conv_net(), images()
    calibrate(model, features, Calibration())
    change(model)
    measured = measure_ranges(model, features, features, Calibration())

    assert measured["r"].clipped >= clips
    assert measured["r"].unsettled == pytest.approx(unsettled, abs=1e-5)
    assert list(findings(measured)) == (["r"] if unsettled else [])
    if not unsettled:
        refuse_wrong(measured, 0.05)
        return
    with pytest.raises(RangeError, match=r"r: the range 0 to .* has not settled"):
        refuse_wrong(measured, 0.05)


def test_few_clipped_values_are_a_finding_and_many_an_error() -> None:
    some = ActivationRange(low=0, high=6, clipped=0.04, unsettled=0.2)

    assert findings({"a": some, "b": some.model_copy(update={"clipped": 0.029})}) == {
        "a": "the range 0 to 6 clips 4.0% of the values on eval examples"
    }
    refuse_wrong({"a": some}, 0.05)
    with pytest.raises(
        RangeError, match=r"^ranges of .*: a: the range 0 to 6 clips 4.0% .*calibration.examples"
    ):
        refuse_wrong({"a": some}, 0.02)
