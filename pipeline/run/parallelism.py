"""How many nodes a run launches side by side."""

from __future__ import annotations

import json
import os

from components.common.base.beam_runner import remote_runner
from components.common.base.memory import available_memory
from pipeline.config.config import Config
from pipeline.plan.code_version import is_distributed
from pipeline.plan.node import PUSHER, Node
from pipeline.plan.plan import Plan

# Memory of a node that trains or measures, with TensorFlow; the processes share imported modules.
NODE_BYTES = 3 * 10**9


def nodes_at_once(config: Config, to_run: int) -> int:
    """Number of nodes to run side by side.

    Args:
        config: Whose `run.parallel` counts if it is set.
        to_run: Number of nodes that are not cached.
    """
    asked = config.run.parallel
    if asked is None:
        asked = 1 if _has_gpu() else min(len(os.sched_getaffinity(0)), available_memory() // NODE_BYTES)
    return max(1, min(asked, to_run))


def alone(plan: Plan, config: Config) -> set[str]:
    """Ids of nodes beside which no other runs.

    A training with a distribution already uses several processes, which must not be paused; with a Beam runner that
    has workers elsewhere, those of one measuring could be at work while another one takes times, and nothing could
    pause them. The Pusher runs in the process of the run, which removes what it left if it is stopped.
    """
    remote = remote_runner(config.run.beam_args) is not None
    return {
        node.id
        for node in plan.nodes
        if node.id == PUSHER
        or is_distributed(_training(node))
        or (remote and node.id in plan.measurements.values())
    }


def _has_gpu() -> bool:
    """Whether TensorFlow would use a GPU, whose memory its first process takes whole."""
    return os.path.exists("/dev/nvidiactl") and os.environ.get("CUDA_VISIBLE_DEVICES") not in ("", "-1")


def _training(node: Node) -> str:
    """JSON of the options of a node that trains."""
    if "params" in node.parameters:
        return str(node.parameters["params"])
    return str(json.loads(str(node.parameters.get("custom_config", "{}"))).get("params", "{}"))
