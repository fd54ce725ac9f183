"""The command that an image checks itself with. Imports nothing heavy at the top."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from pipeline.base.exit_code import EXIT_INVALID
from pipeline.cli.refusal import refuse


@click.command("image-check", epilog="Exit codes: 0 everything is there, 2 something is missing.")
@click.argument("spec", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts to read.")
def image_check(spec: Path, as_json: bool) -> None:
    """Check that a compiled pipeline can run in this environment. To be run inside the image.

    Imports the class of every executor, the entrypoint and the model module, and compares the version of
    the code with the one that SPEC was compiled with: whatever is missing is one line. Takes about a
    minute.

    \b
    Examples:
      paredown image-check mnist.yaml
      docker run --rm -i -v "$PWD:/spec:ro" registry.example.com/team/paredown:1.0 \\
          paredown image-check /spec/mnist.yaml
    """
    import tempfile

    from pipeline.base import log_file
    from pipeline.config.problem import Problem
    from pipeline.kubeflow import image_check as checking

    try:
        tasks = checking.read_tasks(spec)
    except checking.SpecError as error:
        refuse([Problem(str(error))], as_json)
    with (
        tempfile.TemporaryDirectory(prefix="paredown-") as folder,
        log_file.output_to(Path(folder) / "imports.log"),
    ):
        faults = checking.find_faults(tasks)
    classes = {task.executor for task in tasks}
    if as_json:
        rows = [{"what": fault.what, "why": fault.why, "tasks": list(fault.tasks)} for fault in faults]
        click.echo(json.dumps({"tasks": len(tasks), "classes": sorted(classes), "faults": rows}, indent=2))
    elif faults:
        for fault in faults:
            click.echo(str(fault), err=True)
    else:
        click.echo(f"{spec} can run here: {len(tasks)} tasks, {len(classes)} executor classes")
    if faults:
        sys.exit(EXIT_INVALID)
