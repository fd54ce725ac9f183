"""Facts about each metric of TFMA and tf_keras: which way is better, its range, the labels it takes.

The definitions are those of `tensorflow_model_analysis/metrics` and `tf_keras/src/metrics`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum

# Not TFMA's: the share of the baseline's own decisions.
AGREEMENT = "agreement"
# Nor this: how well the error of a reconstruction separates anomalies from normal examples.
RECONSTRUCTION_AUC = "reconstruction_auc"


class Takes(Enum):
    """The labels and predictions that a metric compares."""

    INDEX = "the index of a class, and a probability for each class"
    ONE_HOT = "a label of one value for each class, and a probability for each class"
    PROBABILITIES = "a label of 0 or 1 for each output, value by value"
    VALUES = "a number for each output, value by value"
    # TFMA's binary confusion matrices. It turns the index of a class into one label for each class.
    CONFUSION = "classes, counted at thresholds"
    OTHER = "something else"


@dataclass(frozen=True)
class MetricFacts:
    """Facts about a metric.

    Attributes:
        higher_is_better: None if neither a high nor a low value is better.
        low: The lowest value that it can have.
        high: The highest.
        takes: The labels and predictions that it compares.
        constant: The value that a constant prediction has on any data; None if that depends on the data.
        needs_both: Whether it is defined only if the data have both positives and negatives, though TFMA answers
            with a number all the same.
        zero_is_undefined: Whether 0 is also the answer if the metric is not defined on the data.
    """

    higher_is_better: bool | None
    low: float = 0.0
    high: float = 1.0
    takes: Takes = Takes.CONFUSION
    constant: float | None = None
    needs_both: bool = False
    zero_is_undefined: bool = False

    @property
    def best(self) -> float:
        """The best value."""
        return self.high if self.higher_is_better else self.low


def _facts() -> dict[str, MetricFacts]:
    higher, lower = MetricFacts(True), MetricFacts(False)
    error = replace(lower, high=math.inf, takes=Takes.VALUES)
    likelihood = replace(lower, high=math.inf, takes=Takes.PROBABILITIES)
    curve = replace(higher, needs_both=True)
    correlation = replace(higher, low=-1.0, constant=0.0)
    signed_curve = replace(correlation, needs_both=True)
    overlap = replace(higher, takes=Takes.PROBABILITIES, zero_is_undefined=True)
    pair = replace(lower, takes=Takes.OTHER)
    groups = (
        ("SparseCategoricalAccuracy SparseTopKCategoricalAccuracy", replace(higher, takes=Takes.INDEX)),
        ("SparseCategoricalCrossentropy", replace(likelihood, takes=Takes.INDEX)),
        ("CategoricalAccuracy TopKCategoricalAccuracy", replace(higher, takes=Takes.ONE_HOT)),
        (
            "CategoricalCrossentropy CategoricalCrossEntropy CategoricalHinge KLDivergence",
            replace(likelihood, takes=Takes.ONE_HOT),
        ),
        ("BinaryAccuracy", replace(higher, takes=Takes.PROBABILITIES)),
        (AGREEMENT, replace(higher, takes=Takes.OTHER)),
        (RECONSTRUCTION_AUC, replace(higher, takes=Takes.OTHER, constant=0.5)),
        ("BinaryCrossentropy BinaryCrossEntropy Hinge SquaredHinge", likelihood),
        ("BinaryIoU", overlap),
        ("IoU MeanIoU OneHotIoU OneHotMeanIoU", replace(overlap, takes=Takes.ONE_HOT)),
        (
            "LogCoshError MeanAbsoluteError MeanAbsolutePercentageError MeanRelativeError MeanSquaredError "
            "MeanSquaredLogarithmicError RootMeanSquaredError",
            error,
        ),
        ("Poisson", replace(error, low=-math.inf)),
        ("CosineSimilarity", replace(higher, low=-1.0, takes=Takes.VALUES, zero_is_undefined=True)),
        ("SquaredPearsonCorrelation", replace(higher, takes=Takes.VALUES)),
        ("AUC", replace(curve, constant=0.5)),
        ("AUCPrecisionRecall", curve),
        (
            "SensitivityAtSpecificity SpecificityAtSensitivity PrecisionAtRecall RecallAtFalsePositiveRate",
            curve,
        ),
        # Keras and TFMA answer 0 if no threshold reaches the precision.
        ("RecallAtPrecision", replace(curve, zero_is_undefined=True)),
        ("BalancedAccuracy", replace(curve, constant=0.5)),
        ("Informedness", signed_curve),
        ("CoefficientOfDiscrimination", signed_curve),
        ("Markedness MatthewsCorrelationCoefficient", correlation),
        ("F1Score FowlkesMallowsIndex ThreatScore NPV NegativePredictiveValue PPV Precision", higher),
        ("Recall TPR Specificity TNR", higher),
        ("FallOut FalseDiscoveryRate FalseOmissionRate FNR FPR MissRate PrevalenceThreshold", lower),
        ("DiagnosticOddsRatio PositiveLikelihoodRatio", replace(higher, high=math.inf, constant=1.0)),
        ("RelativeCoefficientOfDiscrimination", replace(higher, high=math.inf, constant=1.0)),
        ("NegativeLikelihoodRatio", replace(lower, high=math.inf, constant=1.0)),
        ("TN TP TrueNegatives TruePositives", replace(higher, high=math.inf)),
        ("FN FP FalseNegatives FalsePositives", replace(lower, high=math.inf)),
        (
            "BooleanFlipRates NegToNegFlipRate NegToPosFlipRate PosToNegFlipRate PosToPosFlipRate "
            "SymmetricFlipRate",
            pair,
        ),
        ("SymmetricPredictionDifference MinLabelPosition", replace(pair, high=math.inf)),
        ("ModelCosineSimilarity", MetricFacts(True, -1.0, takes=Takes.OTHER)),
        ("NDCG", MetricFacts(True, takes=Takes.OTHER)),
        ("Calibration", MetricFacts(None, high=math.inf)),
    )
    return {name: facts for names, facts in groups for name in names.split()}


METRICS = _facts()

# Metrics → which labels and predictions they are not defined for; those that need both classes are in METRICS.
_UNDEFINED = {
    "MeanAbsolutePercentageError": "it divides by the label, and all labels are 0; write MeanAbsoluteError",
    "MeanSquaredLogarithmicError": "it takes logarithms of 1 + label and 1 + prediction, which have to be above 0; "
    "write MeanSquaredError",
    "Poisson": "it takes logarithms of predictions, which have to be above 0; write MeanSquaredError, or end the "
    "model "
    "in an activation such as softplus",
    "SquaredPearsonCorrelation": "labels or predictions are the same in all examples; write MeanSquaredError",
    "CosineSimilarity": "labels or predictions are 0 in all examples; write MeanSquaredError",
}


def undefined_for(metric: str) -> str:
    """For which labels and predictions a metric is not defined, and what to write; empty if that is not known."""
    facts = METRICS.get(metric)
    if facts is not None and facts.needs_both:
        return "it needs both classes among the labels"
    return _UNDEFINED.get(metric, "")


# Metrics that are means over examples, by definition.
_MEANS = (
    "BinaryAccuracy BinaryCrossentropy CategoricalAccuracy CategoricalCrossentropy Hinge KLDivergence "
    "MeanAbsoluteError MeanAbsolutePercentageError MeanSquaredError MeanSquaredLogarithmicError Poisson "
    "SparseCategoricalAccuracy SparseCategoricalCrossentropy SparseTopKCategoricalAccuracy SquaredHinge "
    "TopKCategoricalAccuracy"
)
MEANS = frozenset(_MEANS.split())

# Metrics of a binary classification whose best value a constant prediction has, by the class that it predicts.
BEST_BY_CONSTANT = {
    **dict.fromkeys(("Recall", "TPR", "FNR", "MissRate"), True),
    **dict.fromkeys(("TP", "TruePositives", "FN", "FalseNegatives"), True),
    **dict.fromkeys(("Specificity", "TNR", "FPR", "FallOut"), False),
    **dict.fromkeys(("TN", "TrueNegatives", "FP", "FalsePositives"), False),
}

# Metrics → why a limit on one of them would not judge a model.
_NO_QUALITY = (
    (
        "ExampleCount WeightedExampleCount MeanLabel Prevalence QueryStatistics",
        "describes the data, not how good a model is",
    ),
    (
        "MeanPrediction PredictedPositiveRate Mean",
        "describes only the predictions, whether they are right or wrong",
    ),
    ("ThresholdAtRecall", "is a threshold, which says nothing about how good a model is"),
    ("MaxRecall", "calls every example positive, as a constant prediction does"),
    (
        "R2Score FBetaScore",
        "has no state before its first batch, and TFMA cannot merge it; SquaredPearsonCorrelation, MeanSquaredError "
        "and F1Score are close to it",
    ),
    ("Accuracy", "counts predictions that equal the label, and probabilities hardly ever do"),
    (
        "Bleu Rouge ExactMatch COCOAveragePrecision COCOAverageRecall COCOMeanAveragePrecision "
        "COCOMeanAverageRecall ObjectDetectionMaxRecall ObjectDetectionPrecision ObjectDetectionPrecisionAtRecall "
        "ObjectDetectionRecall ObjectDetectionThresholdAtRecall SemanticSegmentationFalsePositive "
        "SemanticSegmentationTruePositive SetMatchPrecision SetMatchRecall",
        "takes text, boxes or images, which are not supported as labels and outputs",
    ),
)
NO_QUALITY = {name: reason for names, reason in _NO_QUALITY for name in names.split()}
