"""Whether a higher value of a metric is a better one, as far as its name says."""

from __future__ import annotations

import re

# Names of TFMA's and tf_keras's metrics; what neither matches has no known direction.
_LOWER_IS_BETTER = re.compile(
    r"error|loss|entropy|divergence|distance|false|hinge|poisson|missrate|fallout|^f[np]r?$|"
    r"negativelikelihood|minlabelposition|flip|difference|logcosh|(mae|mse|mape|msle|rmse)$"
)
_HIGHER_IS_BETTER = re.compile(
    r"accuracy|acc$|auc|precision|recall|sensitivity|specificity|^t[np]r?$|^pp?v$|^npv$|true|iou|cosine|"
    r"r2|ndcg|f1|fbeta|matthews|markedness|informedness|prevalencethreshold|positivelikelihood|"
    r"averageprecision|coefficient|squaredpearson|jaccard|balanced|threatscore|oddsratio"
)


def higher_is_better(metric: str) -> bool | None:
    """Whether a higher value is a better one.

    Args:
        metric: As TFMA has it (MeanSquaredError) or as Keras does (mean_squared_error).

    Returns:
        None if the name does not say.
    """
    name = metric.lower().replace("_", "")
    if _LOWER_IS_BETTER.search(name):
        return False
    return True if _HIGHER_IS_BETTER.search(name) else None
