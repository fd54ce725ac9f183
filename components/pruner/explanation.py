"""The effect of the `prune` step on a model."""

from __future__ import annotations

from components.common.models import layer_weights
from components.common.models.layer_selection import LayerSelectionError
from components.common.steps.explanation import Explanation, Outlook, Refusal
from components.pruner.executor import ask
from components.pruner.params import PruneOptions
from components.pruner.schedule import ScheduleError, renewals, too_short
from components.pruner.selection import can_prune, layer_targets, obstacle


def explain(outlook: Outlook, options: PruneOptions) -> Explanation:
    """Says which layers are pruned and how far; see components.common.steps.explanation."""
    model = outlook.model
    after = outlook.after(options)
    examples = outlook.workshop.examples
    if examples:
        options = options.for_model(model.count_params(), examples)
    try:
        targets = layer_targets(model, options)
        if examples:
            renewals(options, examples)
    except (LayerSelectionError, ScheduleError) as error:
        return Explanation({}, [Refusal("", str(error))], after)
    ask(after.record, model, targets, options)
    short = too_short(options, examples) if examples else ""
    effects = {}
    for layer in model.layers:
        if layer.name in targets:
            m_by_n = ":".join(map(str, options.m_by_n)) if options.m_by_n else ""
            effects[layer.name] = m_by_n or f"{targets[layer.name]:.0%} zeros"
            if options.block:
                effects[layer.name] += f" in blocks of {options.block[0]}×{options.block[1]}"
        elif layer_weights.has_kernel(layer):
            why = obstacle(layer, options.m_by_n, options.block) if can_prune(layer) else "TFMOT cannot"
            effects[layer.name] = f"dense ({why})" if why else "dense"
    return Explanation(effects, [], after, notes=[short] if short else [], remarks=_remarks(options))


def _remarks(options: PruneOptions) -> list[str]:
    remarks = []
    if options.allocation == "lamp":
        remarks.append(
            f"{options.sparsity:.0%} of all weights together become zero. Each layer's share depends on the weights "
            "when the step begins; the shares shown are those of the current weights."
        )
    if options.reconstruct:
        remarks.append(
            "Weights are removed before training, by their effect on the outputs of layers for training examples; "
            "the others are adjusted to compensate."
        )
    return remarks
