"""`paredown image-check`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pipeline.base import log_file, streams
from pipeline.base.exit_code import EXIT_INVALID
from pipeline.cli import options
from pipeline.kubeflow import image_check as checking


@click.command("image-check", epilog="Exit codes: 0 nothing is missing, 2 something is missing.")
@click.argument("spec", type=click.Path(path_type=Path))
@options.as_json
def image_check(spec: Path, as_json: bool) -> int | None:
    """Check that an image can run a pipeline.

    Run this inside the image. It imports the class of every executor, the entrypoint and the model module, and
    compares the version of the code with the one that SPEC was compiled with. Prints one line for everything
    that is missing. Takes about a minute.

    \b
    Examples:
      paredown image-check mnist.yaml
      docker run --rm -i -v "$PWD:/spec:ro" registry.example.com/team/paredown:1.0 \\
          paredown image-check /spec/mnist.yaml
    """
    tasks = checking.read_tasks(spec)
    with log_file.quiet("Importing what the tasks need …"):
        faults = checking.find_faults(tasks)
    classes = {task.executor for task in tasks}
    if as_json:
        rows = [{"what": fault.what, "why": fault.why, "tasks": list(fault.tasks)} for fault in faults]
        click.echo(json.dumps({"tasks": len(tasks), "classes": sorted(classes), "faults": rows}, indent=2))
    elif not faults:
        streams.answer(f"{spec} can run here: {len(tasks)} tasks, {len(classes)} executor classes")
    else:
        for fault in faults:
            streams.say(str(fault))
    return EXIT_INVALID if faults else None
