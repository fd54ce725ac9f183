"""The program `paredown`: its commands, which are imported when they are called, and its errors.

Here alone an exception becomes a message and an exit code.
"""

from __future__ import annotations

import atexit
import errno
import gc
import importlib
import io
import json
import os
import sys
import warnings
from typing import Any

import click
from click.shell_completion import CompletionItem

from components.common.base.errors import ParedownError
from pipeline.base import collector, stopping, streams
from pipeline.base.exit_code import EXIT_CLOSED_OUTPUT, EXIT_INTERRUPTED, EXIT_INVALID
from pipeline.cli.options import wants_json
from pipeline.config.problem import InvalidInput, Problem

# pydantic would look through the metadata of every installed package for plugins of its own.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

# Name → where the command is, and its help in one line: reading it from the commands would import them all.
COMMANDS = {
    "init": ("pipeline.cli.init:init", "Make a new project that runs as it is."),
    "validate": ("pipeline.cli.validate:validate", "Check a config."),
    "plan": ("pipeline.cli.plan:plan", "Show what a run would do and what is cached."),
    "explain": ("pipeline.cli.explain:explain", "Show what each step will do to each layer."),
    "run": ("pipeline.cli.run:run", "Train, build, evaluate, and push the best candidate."),
    "search": ("pipeline.cli.search:search", "Search a space of candidates for the best one."),
    "compile": ("pipeline.cli.compile:compile_", "Compile a config for a cluster."),
    "federate": ("pipeline.cli.federate:federate", "Take federated training to real machines."),
    "submit": ("pipeline.cli.submit:submit", "Start a run on Kubeflow Pipelines."),
    "image-check": ("pipeline.cli.image_check:image_check", "Check that an image can run a pipeline."),
    "runs": ("pipeline.cli.runs:runs", "List runs, newest first."),
    "lineage": ("pipeline.cli.lineage:lineage", "Show what a model was made from."),
    "diff": ("pipeline.cli.diff:diff", "Show what differs between two runs."),
    "report": ("pipeline.cli.report:report", "Write the report of a run as one HTML page."),
    "gc": ("pipeline.cli.gc:gc", "Remove files that are no longer needed."),
    "inspect": ("pipeline.cli.inspect:inspect", "Show what a model file contains."),
    "serve": ("pipeline.cli.serve:serve", "Serve pushed models by REST and gRPC."),
    "targets": ("pipeline.cli.targets:targets", "List the kinds of targets."),
    "schema": (
        "pipeline.cli.validate:schema",
        "Print the JSON Schema of a config, or the option reference.",
    ),
}


# Errors of writing to a stream; they name no file.
_OF_STREAMS = (errno.ENOSPC, errno.EBADF, errno.EIO, errno.EDQUOT, errno.EFBIG)


class _Commands(click.Group):
    """Imports a command when it is called, and turns errors into messages and exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        names = [
            CompletionItem(name, help=text)
            for name, (_, text) in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return names + click.Command.shell_complete(self, ctx, incomplete)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        streams.occupy()
        try:
            return super().main(*args, **kwargs)
        except OSError as error:  # from printing a help, which needs no command
            sys.exit(_refused_by_system(error))

    def invoke(self, ctx: click.Context) -> None:
        collector.look_seldom(500_000)
        # When it ends, the interpreter would look through all of them once more.
        atexit.register(gc.freeze)
        if not sys.warnoptions:
            # Warnings of libraries about each other; a log has them. See pipeline.base.log_file.
            warnings.simplefilter("ignore")
        try:
            with stopping.as_ctrl_c():
                _check_working_directory()
                code = super().invoke(ctx)
        except ParedownError as error:
            _show(error, wants_json(ctx))
            code = error.exit_code
        except KeyboardInterrupt:
            streams.say("Interrupted.")
            code = EXIT_INTERRUPTED
        except OSError as error:
            code = _refused_by_system(error)
        if code:
            ctx.exit(code)


def _show(error: ParedownError, as_json: bool) -> None:
    problems = error.problems if isinstance(error, InvalidInput) else [Problem(str(error))]
    if as_json:
        rows = [problem.to_json() for problem in problems]
        click.echo(json.dumps({"valid": False, "problems": rows}, indent=2))
        return
    for problem in problems:
        streams.say(str(problem))


def _check_working_directory() -> None:
    try:
        os.getcwd()
    except OSError as error:
        raise ParedownError(
            f"the working directory cannot be used: {error.strerror}; change to a folder that exists"
        ) from None


def _refused_by_system(error: OSError) -> int:
    """Says what the system refused and that no check foresaw; returns the exit code."""
    if isinstance(error, BrokenPipeError):  # the reader of the output has read enough
        streams.output_is_lost()
        return EXIT_CLOSED_OUTPUT
    why = error.strerror or str(error)
    if error.filename is None and error.errno in _OF_STREAMS and streams.output_is_lost():
        streams.say(f"standard output cannot be written: {why}")
        return EXIT_CLOSED_OUTPUT
    streams.say(f"{os.fspath(error.filename)!s}: {why}" if error.filename else why)
    return EXIT_INVALID


@click.group(
    cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="paredown")
def main() -> None:
    """Make a Keras model smaller and faster within a budget that you set.

    One YAML file names the data and the model, the optimized candidates to build (pruned, quantized,
    distilled …), and the limits on accuracy, latency and size. Paredown trains, builds and compares the
    candidates as TFX pipeline nodes and pushes the best one that passes.

    \b
    Typical use:
      paredown init my-project                         # make a project that runs as it is
      paredown validate configs/mnist/pipeline.yaml    # check the config
      paredown plan configs/mnist/pipeline.yaml        # show what would run and what is cached
      paredown explain configs/mnist/pipeline.yaml     # show what each step does to each layer
      paredown run configs/mnist/pipeline.yaml         # run it here
      paredown compile configs/mnist/pipeline.yaml …   # or compile it for Kubeflow Pipelines
      paredown submit mnist.yaml --host … --wait       # and run it there
      paredown lineage serving/mnist                   # show what the pushed model was made from
    """
    for stream in (sys.stdout, sys.stderr):
        # A terminal without some characters (LC_ALL=C) and names that are not UTF-8 must not end the program.
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")
