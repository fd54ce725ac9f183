"""The command line with the technique: what a package with a technique of its own runs."""

from __future__ import annotations

from components import registry
from tests.components.dummy_technique.technique import MIRROR

registry.register(MIRROR)

if __name__ == "__main__":
    # Only now, as it builds the config's model of the techniques that there are.
    from pipeline.cli import main

    main()
