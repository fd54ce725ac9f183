"""While a model trains, ranges that have to be equal stay so, and frozen ones stay."""

from __future__ import annotations

import numpy as np
import pytest
import tf_keras

from components.common.base.calibration import Calibration
from components.common.tfmot.calibration import calibrate
from components.common.tfmot.range_keeper import RangeKeeper
from components.common.tfmot.ranges import ranges_of
from components.common.tfmot.shared_ranges import shared_ranges
from components.quantization_aware_trainer.executor import prepare, quantize
from tests.components.common.tfmot.models import images

layers = tf_keras.layers


def branches() -> tf_keras.Model:
    """A pooling branch and a wider one meet in a Concatenate; a layer behind has a range of its own."""
    tf_keras.utils.set_random_seed(2)
    image = layers.Input((8, 8, 3), name="x")
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="a")(image)
    y = layers.Conv2D(4, 3, padding="same", name="b")(x)
    z = layers.Concatenate(name="cat")([layers.AveragePooling2D(3, 1, "same", name="pool")(x), y])
    model = quantize(prepare(tf_keras.Model(image, layers.Dense(2, name="d")(layers.Flatten()(z)))))
    calibrate(model, images(), Calibration())
    model.compile(tf_keras.optimizers.SGD(1e-9), "mse")
    return model


class Recorder(tf_keras.callbacks.Callback):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[dict[str, tuple[float, float]]] = []

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        self.seen.append({found.tensor: found.read() for found in ranges_of(self.model)})


def train(model: tf_keras.Model, keeper: RangeKeeper, scale: float = 90.0) -> Recorder:
    recorder = Recorder()
    inputs = images(60, scale=scale, seed=3)["x"]
    model.fit(inputs, np.ones((60, 2)), batch_size=10, verbose=0, callbacks=[keeper, recorder])
    return recorder


def test_all_that_meet_in_a_concatenate_share_a_range() -> None:
    (group,) = shared_ranges(branches())

    assert sorted(found.tensor for found in group) == ["a", "b", "cat", "pool"]
    assert len({found.read() for found in group}) == 1
    assert group[0].read()[0] < 0  # of b; a is not negative


def test_shared_ranges_move_together() -> None:
    model = branches()
    before = shared_ranges(model)[0][0].read()
    seen = train(model, RangeKeeper()).seen

    for ranges in seen:
        assert ranges["a"] == ranges["b"] == ranges["cat"] == ranges["pool"]
        assert ranges["d"] != ranges["a"]
    assert seen[-1]["a"][1] > seen[0]["a"][1] > before[1]


@pytest.mark.parametrize("after", [0, 2])
def test_ranges_no_longer_move_after_some_steps(after: int) -> None:
    model = branches()
    before = {found.tensor: found.read() for found in ranges_of(model)}
    seen = [before, *train(model, RangeKeeper(after)).seen]

    assert len(seen) == 7
    moving = [seen[step]["d"] != seen[step + 1]["d"] for step in range(6)]
    assert moving == [step < after for step in range(6)]
