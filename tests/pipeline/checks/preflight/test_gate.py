"""Metrics and slices of the gate that do not fit the model or the data."""

from __future__ import annotations

import pytest

from tests.project import MODEL, Project


def test_metric_with_wrong_arguments(project: Project) -> None:
    problem = project.problem("gate.accuracy.config={treshold: 0.5}")
    assert problem.key() == "gate.accuracy.metric"
    assert 'SparseCategoricalAccuracy({"treshold": 0.5})' in problem.message


@pytest.mark.parametrize(
    "metric",
    [
        "BinaryCrossentropy", "BinaryCrossEntropy", "CategoricalCrossEntropy", "CategoricalHinge", "KLDivergence",
        "Poisson", "MeanSquaredError", "Hinge",
    ],
)  # fmt: skip
def test_a_metric_that_does_not_fit_the_labels_is_refused_though_all_is_cached(
    project: Project, metric: str
) -> None:
    gate = f"gate.accuracy={{metric: {metric}, max_drop: 0.01}}"
    cached = [node.id for node in project.plan(gate).nodes]
    problem = project.problem(gate, cached=cached)
    assert problem.key() == "gate.accuracy.metric"
    assert problem.message.startswith(
        f"{metric} compares value by value, and output 'last' has 3 for a label of one"
    )


@pytest.mark.parametrize(
    ("metric", "config", "message"),
    [
        (
            "SparseTopKCategoricalAccuracy",
            "{k: 3}",
            "k is 3 for SparseTopKCategoricalAccuracy, and output 'last'",
        ),
        (
            "SparseTopKCategoricalAccuracy",
            "{}",
            "k is 5 for SparseTopKCategoricalAccuracy, and output 'last'",
        ),
        ("Precision", "{top_k: 4}", "top_k is 4 for Precision, and output 'last' has 3 values"),
        ("Recall", "{class_id: 3}", "class_id is 3, and output 'last' has classes 0 to 2"),
    ],
)
def test_the_top_k_of_all_classes_are_refused(
    project: Project, metric: str, config: str, message: str
) -> None:
    problem = project.problem(f"gate.accuracy={{metric: {metric}, config: {config}, max_drop: 0.01}}")
    assert problem.message.startswith(message)


def test_slice_by_a_feature_that_is_not_there(project: Project) -> None:
    problem = project.problem("gate.accuracy.slices=[{by: labl, min: 0.1}]")
    assert problem.key() == "gate.accuracy.slices[0].by"
    assert "'labl' is not a feature of the data; did you mean 'label'?" in problem.message


def test_slices_are_of_raw_features_even_if_the_module_preprocesses(project: Project) -> None:
    project.write_model(
        MODEL + "\n\ndef preprocessing_fn(inputs):\n    return {**inputs, 'half': inputs}\n"
    )
    problem = project.problem("gate.accuracy.slices=[{by: half, min: 0.1}]")
    assert problem.key() == "gate.accuracy.slices[0].by"
    assert "'half' is not a feature of the data" in problem.message
