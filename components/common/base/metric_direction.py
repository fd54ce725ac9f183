"""Whether a higher value of a metric is a better one, as far as its name says."""

from __future__ import annotations

import re

from components.common.base.metric_facts import METRICS

_BY_NAME = {name.lower(): facts.higher_is_better for name, facts in METRICS.items()}
# Names of metrics in Keras's logs and of users' own; what neither matches has no known direction.
_LOWER_IS_BETTER = re.compile(
    r"error|loss|entropy|divergence|distance|hinge|poisson|logcosh|false(positives|negatives)|"
    r"(mae|mse|mape|msle|rmse)$"
)
_HIGHER_IS_BETTER = re.compile(
    r"accuracy|acc$|auc|precision|recall|sensitivity|specificity|true(positives|negatives)|iou|cosine|r2|f1|fbeta"
)


def higher_is_better(metric: str) -> bool | None:
    """Whether a higher value is a better one.

    Args:
        metric: As TFMA has it (MeanSquaredError) or as Keras does (mean_squared_error).

    Returns:
        None if the name does not say.
    """
    name = metric.lower().replace("_", "")
    if name in _BY_NAME:
        return _BY_NAME[name]
    if _LOWER_IS_BETTER.search(name):
        return False
    return True if _HIGHER_IS_BETTER.search(name) else None
