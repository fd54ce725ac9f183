"""The interface of the `prune_channels` step to the rest of the program."""

from components.channel_pruner.invariants import Channels
from components.channel_pruner.params import ChannelOptions
from components.common.steps.technique import Advice, Chain, Technique


def _smaller(chain: Chain) -> str:
    if not chain.own:
        return "remove channels with prune_channels"
    return "remove more channels" if chain.own.get("ratio") else "let prune_channels keep less"


def _first(chain: Chain) -> str:
    return _smaller(chain) if chain.own else "remove channels with prune_channels first"


def _more_accurate(chain: Chain) -> str:
    if not chain.own:
        return ""
    longer = f"for more than {chain.own['epochs']} epochs" if chain.own["epochs"] else "for more steps"
    return f"remove fewer channels, or train `prune_channels` {longer}"


PRUNE_CHANNELS = Technique(
    options=ChannelOptions,
    component="components.channel_pruner.component.ChannelPruner",
    explanation="components.channel_pruner.explanation.explain",
    stage=1,
    asynchronous="the workers of a parameter server start at different times, and each would choose its own channels",
    invariants=(Channels,),
    advice=(
        Advice("size", 1, _smaller),
        Advice("gzip_size", 3, _first),
        Advice("latency", 1, _smaller),
        Advice("accuracy", 0, _more_accurate),
    ),
)
