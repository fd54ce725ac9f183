"""How sure a metric and its difference to the baseline's are, by a paired bootstrap over examples.

Examples are drawn with replacement, the same ones for candidate and baseline, since both predict the same examples
(Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 13 and 16). Intervals are of percentiles.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from components.measurer.comparison import Interval, Uncertainty
from components.measurer.params import CONFIDENCE

# Resamples of metrics that are means over examples, which are drawn all at once …
_RESAMPLES = 1000
# … of this many examples in all, but not fewer than the resamples of other metrics.
_DRAWN = 50_000_000
# Resamples of a metric that is computed again for each of them, at most and at least, and their examples in all.
_COMPUTED_RESAMPLES = 200
_FEWEST_RESAMPLES = 100
_COMPUTED = 10_000_000
# Numbers that are held at once.
_HELD = 1 << 22

Pair = tuple[float, float]


def of_means(candidate: NDArray[np.float64], baseline: NDArray[np.float64], seed: int) -> Uncertainty:
    """The uncertainty of metrics that are means over examples.

    Args:
        candidate: (examples,) value of each example.
        baseline: The same of the baseline.
        seed: Seed of the draws.
    """
    # Which of the examples with equal values are drawn makes no difference.
    pairs, counts = np.unique(np.stack([candidate, baseline], 1), axis=0, return_counts=True)
    count = len(candidate)
    resamples = int(min(_RESAMPLES, max(_COMPUTED_RESAMPLES, _DRAWN // len(pairs))))
    rng = np.random.default_rng(seed)
    means = []
    together = max(1, _HELD // len(pairs))
    for start in range(0, resamples, together):
        drawn = rng.multinomial(count, counts / count, size=min(together, resamples - start))
        means.append(drawn @ pairs / count)
    return _uncertainty(np.concatenate(means))


def of_computed(
    compute: Callable[[NDArray[np.int64]], Pair], examples: int, seed: int
) -> Uncertainty | None:
    """The uncertainty of metrics that have to be computed for each resample.

    Args:
        compute: Indices of examples, some more than once → the metric of the candidate and of the baseline; NaN if
            it is not defined on them.
        examples: How many there are.
        seed: Seed of the draws.

    Returns:
        None if there are more than 100,000 examples; of more than 50,000, fewer resamples are drawn.
    """
    resamples = min(_COMPUTED_RESAMPLES, _COMPUTED // max(1, examples))
    if resamples < _FEWEST_RESAMPLES:
        return None
    rng = np.random.default_rng(seed)
    values = [compute(rng.integers(0, examples, examples)) for _ in range(resamples)]
    return _uncertainty(np.array(values))


def _uncertainty(values: NDArray[np.float64]) -> Uncertainty:
    """Intervals of (resamples, 2) values, candidate and baseline."""
    candidate, baseline = values[:, 0], values[:, 1]
    ratio = None
    if (baseline > 0).all():
        ratio = _interval(candidate / baseline)
    return Uncertainty(
        confidence=CONFIDENCE,
        resamples=len(values),
        candidate=_interval(candidate),
        difference=_interval(candidate - baseline),
        ratio=ratio,
    )


def _interval(values: NDArray[np.float64]) -> Interval:
    tail = (1 - CONFIDENCE) / 2 * 100
    low, high = np.percentile(values, [tail, 100 - tail])  # NaN if one of them is
    return Interval(*(float(end) if np.isfinite(end) else None for end in (low, high)))
