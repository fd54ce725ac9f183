"""The meaning of labels, as far as the name of the metric that judges them says."""

from __future__ import annotations

import re

# Names of TFMA's and tf_keras's metrics that measure amounts, ranks, boxes or texts; all others, and
# unknown ones, measure classes. A hinge takes classes as -1 and 1.
_OTHERS = re.compile(
    r"error$|squared|r2|pearson|logcosh|poisson|divergence|cosine|calibration|hinge|"
    r"coco|objectdetection|bleu|rouge|ndcg|count$|query|^mean(label|prediction)?$|^(mae|mse|mape|msle|rmse)$"
)


def is_of_classes(metric: str) -> bool:
    """Whether the labels that a metric judges are classes.

    Args:
        metric: As TFMA has it (MeanSquaredError) or as Keras does (mean_squared_error).
    """
    return not _OTHERS.search(metric.lower().replace("_", ""))
