"""The command line: a module for each command, which parses, calls a lower room, prints and returns an exit code."""

from pipeline.cli.group import main

__all__ = ["main"]
