"""Weight clustering with TFMOT."""

from __future__ import annotations

from typing import Any

import numpy as np
import tf_keras
from numpy.typing import NDArray
from scipy.cluster import vq

from components.clusterer import nearest
from components.clusterer.invariants import Clusters
from components.clusterer.params import ClusterOptions
from components.common.models import batch_norm, layer_selection, layer_weights
from components.common.models.invariants import zero_share
from components.common.models.model_files import Facts, StepRecord
from components.common.models.stock_layers import without_autograph
from components.common.steps import fine_tuning
from components.common.steps.step_executor import StepExecutor, StepJob
from components.common.tfmot.library import tfmot

_clustering = tfmot.clustering.keras
_INITIALIZATION = {
    "kmeans++": _clustering.CentroidInitialization.KMEANS_PLUS_PLUS,
    "linear": _clustering.CentroidInitialization.LINEAR,
    "density": _clustering.CentroidInitialization.DENSITY_BASED,
    "random": _clustering.CentroidInitialization.RANDOM,
}


def select_layers(model: tf_keras.Model, include: list[str], exclude: list[str]) -> list[str]:
    """Names of the layers to cluster.

    Args:
        model: Whose layers to choose among.
        include: Patterns, as of file names, of layers to cluster.
        exclude: Patterns of layers to leave as they are; they win over `include`.

    Raises:
        LayerSelectionError: If a pattern matches no layer with a kernel that TFMOT can cluster.
    """
    return layer_selection.select(model, include, exclude, can_cluster, "clustered", "as it is")


def can_cluster(layer: tf_keras.layers.Layer) -> bool:
    """Whether TFMOT clusters the kernel of this layer; others it refuses, or lets pass untouched.

    For example, it accepts DepthwiseConv2D and then clusters nothing in it.
    """
    if isinstance(layer, tf_keras.Model) or not layer_weights.has_kernel(layer):
        return False
    copy = type(layer).from_config(layer.get_config())
    copy.build(layer.get_input_shape_at(0))
    try:
        wrapped = _clustering.cluster_weights(
            copy, number_of_clusters=3, cluster_centroids_init=_INITIALIZATION["linear"]
        )
        clustered = [weight for _, weight in wrapped.layer.get_clusterable_weights()]
    except (ValueError, AttributeError):
        return False
    kernel = layer_weights.kernel_of(copy)
    return len(clustered) == 1 and clustered[0] is kernel


def share_values(values: NDArray[Any], clusters: int, per_channel: bool, seed: int) -> NDArray[Any]:
    """Weights, each replaced by the mean of its cluster (k-means); zeros stay zero, as one of the values.

    Args:
        values: A kernel with output channels last.
        clusters: Greatest number of distinct values.
        per_channel: Whether each output channel has values of its own.
        seed: Seed of the first centroids (k-means++).

    Returns:
        An array of the same shape and dtype.
    """
    shared = values.copy()
    for part in np.moveaxis(shared, -1, 0) if per_channel else [shared]:
        chosen = part != 0
        weights = part[chosen].astype(np.float64)
        room = clusters if np.all(chosen) else clusters - 1
        if np.unique(weights).size > room:
            # As a column: SciPy's k-means++ fails on one axis.
            centroids, of = vq.kmeans2(weights[:, np.newaxis], room, minit="++", seed=seed)
            part[chosen] = centroids[of, 0]
    return shared


def wrap(
    model: tf_keras.Model, layers: list[str], options: ClusterOptions, record: StepRecord
) -> tf_keras.Model:
    """A copy of a model whose `layers` are clustered while it trains; weights are taken over.

    Args:
        model: The model.
        layers: Names of the layers to cluster.
        options: Options of the step.
        record: Whose sparse layers keep their zeros as one of the values.
    """

    def wrapped(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
        copy = type(layer).from_config(layer.get_config())
        if layer.name not in layers:
            return copy
        # Centroids are chosen when the wrapper is built, from the weights that are there then.
        copy.build(layer.get_input_shape_at(0))
        copy.set_weights(layer.get_weights())
        return _clustering.cluster_weights(
            copy,
            number_of_clusters=options.clusters,
            cluster_centroids_init=_INITIALIZATION[options.initialization],
            cluster_per_channel=counts_channels(layer, options),
            preserve_sparsity=zero_share(record.asked(layer.name)) > 0,
        )

    clustered = without_autograph(tf_keras.models.clone_model, model)(model, clone_function=wrapped)
    for layer, original in zip(clustered.layers, model.layers, strict=True):
        if layer.name == original.name:
            layer.set_weights(original.get_weights())
    nearest.search_by_middles(clustered)
    return clustered


def cluster(job: StepJob[ClusterOptions]) -> Facts:
    """Clusters the weights of the model of a job while it is trained on.

    BatchNormalization that follows a clustered layer is folded into it first, as the converter would do
    so afterwards.

    Raises:
        LayerSelectionError: If the patterns select nothing.
        LostInvariantError: If a layer ends with more values than were asked for, or lost zeros.
    """
    options = job.options
    model = job.load_base_model()
    layers = select_layers(model, options.include, options.exclude)
    model = batch_norm.fold(model, layers, job.definition.custom_objects())
    splits = fine_tuning.load_splits(job, model)
    record = StepRecord.read(job.base_model).after(options)
    # Clients need to know which weights share a value before they train, which TFMOT decides anew in each step.
    by_us = [
        name
        for name in layers
        if options.federated or _beyond_tfmot(model.get_layer(name), options, record)
    ]
    for name in by_us:
        kernel = layer_weights.kernel_of(model.get_layer(name))
        per_channel = counts_channels(model.get_layer(name), options)
        kernel.assign(share_values(kernel.numpy(), options.clusters, per_channel, job.seed))
    by_tfmot = [name for name in layers if name not in by_us]
    clustered = wrap(model, by_tfmot, options, record)
    fine_tuning.compile_model(job, clustered)
    for name in layers:
        per_channel = counts_channels(model.get_layer(name), options)
        record.ask(name, Clusters(most=options.clusters, per_channel=per_channel))
    kept = {name: asked for name, asked in record.layers.items() if name not in by_tfmot}
    return fine_tuning.fit_and_save(
        job,
        clustered,
        splits,
        record,
        finish=_clustering.strip_clustering,
        callbacks=[fine_tuning.Preserve(kept)],
        # Values are shared from the beginning; what learns from the baseline is not to go away from it.
        or_as_before=not options.needs_labels(),
    )


def counts_channels(layer: tf_keras.layers.Layer, options: ClusterOptions) -> bool:
    """Whether a layer's channels have values of their own, which TFMOT offers for Conv2D only.

    Of Conv2DTranspose, a subclass, it would take the input channels for those of the output.
    """
    transposed = isinstance(layer, tf_keras.layers.Conv2DTranspose)
    return options.per_channel and isinstance(layer, tf_keras.layers.Conv2D) and not transposed


def _beyond_tfmot(layer: tf_keras.layers.Layer, options: ClusterOptions, record: StepRecord) -> bool:
    """Whether TFMOT cannot choose centroids for a layer, or need not.

    Its k-means++ fails if there are fewer weights than centroids, and its zero-preserving one per
    channel if a single channel has too few weights that are not zero. Per channel it takes the number
    of channels from the bias, and without one silently clusters nothing.
    """
    sparse = zero_share(record.asked(layer.name)) > 0
    distinct = np.unique(layer_weights.kernel_of(layer).numpy()).size
    return distinct <= options.clusters or (
        counts_channels(layer, options) and (sparse or not layer.use_bias)
    )


class Executor(StepExecutor[ClusterOptions]):
    """Runs `cluster`."""

    OPTIONS = ClusterOptions

    def run(self, job: StepJob[ClusterOptions]) -> Facts:
        """Clusters; see `cluster`."""
        return cluster(job)
