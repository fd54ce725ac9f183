"""What the gate keeps of the examples that it reads."""

from __future__ import annotations

from components.anomaly_gate import contents
from tests.components.anomaly_gate.splits import batches
from tests.conftest import to_example


def test_of_a_batch_only_counts_and_samples_stay_in_memory() -> None:
    records = [
        to_example({"image": [float(i)] * 500, "amount": [i / 7], "label": [i % 3]}) for i in range(200)
    ]

    found = contents.gather(batches(records), ["label"])

    for name in ("image", "amount", "label"):
        numbers = found.numbers[name]
        assert sum(len(part) for part in numbers.every) == (0 if name == "image" else 200)
        # A view would keep the images of its batch, too.
        assert all(part.flags.owndata for part in numbers.every)
        assert all(part.base is None or part.base.size <= 200 * 10 for part in numbers.sampled)
