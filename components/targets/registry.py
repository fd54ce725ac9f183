"""The kinds of targets: one line each, TensorFlow-free."""

from __future__ import annotations

from components.targets.microcontroller.target import MICROCONTROLLER
from components.targets.mobile.target import MOBILE
from components.targets.server.target import SERVER
from components.targets.target import Target, TargetOptions
from components.targets.web.target import WEB

# In the order in which messages and schemas list them.
TARGETS: dict[str, Target] = {target.kind: target for target in (MOBILE, MICROCONTROLLER, WEB, SERVER)}


def target_of(options: TargetOptions) -> Target:
    """The target whose options these are."""
    return TARGETS[options.kind]
