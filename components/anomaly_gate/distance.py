"""How far two samples differ, and how far they can differ by chance."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy import stats

# Probability that chance alone exceeds what `chance` returns.
_ALPHA = 1e-6


def largest_difference(first: Mapping[object, int], second: Mapping[object, int]) -> float:
    """L-infinity distance of two samples of categories: the largest difference in a category's share.

    Args:
        first: Category → how often it occurs.
        second: The same for the other sample.
    """
    totals = sum(first.values()), sum(second.values())
    return max(
        abs(first.get(name, 0) / totals[0] - second.get(name, 0) / totals[1]) for name in {*first, *second}
    )


def kolmogorov_smirnov(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """The two-sample Kolmogorov–Smirnov statistic: the largest difference of the cumulative shares.

    Args:
        first: Values, of any shape; at least one.
        second: Those of the other sample.
    """
    return float(stats.ks_2samp(np.ravel(first), np.ravel(second), method="asymp").statistic)


def chance(first: int, second: int, comparisons: int = 1) -> float:
    """A limit that the distances above exceed once in a million times for two random samples of one distribution.

    Hoeffding's inequality for shares, and for Kolmogorov–Smirnov that of Dvoretzky, Kiefer, Wolfowitz and
    Massart, which for two samples holds with the factor e (Wei and Dudley 2012,
    https://arxiv.org/abs/1107.5356): 4 stands for both factors, 2 and e.

    Args:
        first: Examples of one sample, at least 1.
        second: Examples of the other sample, at least 1.
        comparisons: Number of distances of which the largest one is compared.
    """
    return math.sqrt(math.log(4 * comparisons / _ALPHA) / 2 * (1 / first + 1 / second))


def chance_of_twins(share: float, first: int, second: int) -> float:
    """How large the share of examples with a twin in the other sample can be by chance.

    Bernstein's inequality: unlike Hoeffding's it is strict if the share is small.

    Args:
        share: Share of the examples of the first sample that have a twin within it.
        first: Examples of the first sample, at least 1.
        second: Examples of the other sample, at least 1.
    """
    exponent = math.log(1 / _ALPHA)
    return share + math.sqrt(2 * share * exponent * (1 / first + 1 / second)) + exponent / second
