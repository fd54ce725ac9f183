"""The effect of the `cluster` step on a model."""

from __future__ import annotations

from components.clusterer.executor import can_cluster, counts_channels, select_layers
from components.clusterer.invariants import Clusters
from components.clusterer.params import ClusterOptions
from components.common.models import batch_norm, layer_weights
from components.common.models.layer_selection import LayerSelectionError
from components.common.steps.explanation import Explanation, Outlook, Refusal


def explain(outlook: Outlook, options: ClusterOptions) -> Explanation:
    """Says which layers are clustered, and which BatchNormalization is folded."""
    model = outlook.model
    try:
        layers = select_layers(model, options.include, options.exclude)
    except LayerSelectionError as error:
        return Explanation({}, [Refusal("", str(error))], outlook.after(options))
    folded = {name: norm for name, norm in batch_norm.followers(model).items() if name in layers}
    after = outlook.after(options, batch_norm.fold(model, layers, outlook.workshop.custom_objects))
    effects = {}
    for layer in model.layers:
        name = layer.name
        if name in layers:
            per_channel = counts_channels(layer, options)
            after.record.ask(name, Clusters(most=options.clusters, per_channel=per_channel))
            effects[name] = f"{options.clusters} values" + (" per channel" if per_channel else "")
        elif layer_weights.has_kernel(layer):
            effects[name] = "as it is" + ("" if can_cluster(layer) else " (TFMOT cannot)")
    effects.update({norm: f"folded into {name}" for name, norm in folded.items()})
    return Explanation(effects, [], after)
