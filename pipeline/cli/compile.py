"""`paredown compile`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pipeline.base import streams
from pipeline.cli import options
from pipeline.config.kubeflow_options import Target
from pipeline.kubeflow import compile as compiling


@click.command(
    "compile", epilog="Exit codes: 0 compiled and written, 2 invalid input; nothing was written."
)
@options.config
@click.option(
    "--target",
    type=click.Choice(["kubeflow", "vertex"]),
    default="kubeflow",
    show_default=True,
    help="kubeflow: Kubeflow Pipelines 2, as YAML. vertex: Vertex AI Pipelines, as JSON.",
)
@click.option("--image", required=True, help="Container image of the tasks; it contains this project.")
@click.option(
    "--pipeline-root",
    required=True,
    metavar="URI",
    help="Where the tasks store artifacts: gs://…; for kubeflow also s3://… and minio://….",
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="File to write; - prints it. If the config names several targets, each has a file, which ends in its kind: "
    "<name>-web.yaml.  [default: <name>.yaml or .json]",
)
@click.option(
    "--search",
    "searches",
    is_flag=True,
    help="Compile the first round of the config's search, as `submit --search` starts it.",
)
@options.overrides
@options.only
@options.as_json
def compile_(
    config: Path,
    target: Target,
    image: str,
    pipeline_root: str,
    output: str | None,
    searches: bool,
    overrides: tuple[str, ...],
    only: tuple[str, ...],
    as_json: bool,
) -> None:
    """Compile a config for a cluster.

    Each node of the plan becomes a task. A config that names several targets becomes one pipeline for each. CONFIG is
    the file that `run` takes. Its section `kubeflow` says where the tasks find the data and push to, and sets their
    cpu, memory, accelerator, node_selector, retries, cache and env. Refuses what the cluster cannot run. The data
    path, the push directory and the seed become parameters of the compiled pipeline; their defaults come from the
    config. Takes some seconds, most of them to import TFX.

    \b
    Examples:
      paredown compile configs/mnist/pipeline.yaml --image registry.example.com/paredown:1 \\
          --pipeline-root minio://mlpipeline/paredown
      paredown compile my.yaml --target vertex --image europe-docker.pkg.dev/p/r/paredown:1 \\
          --pipeline-root gs://bucket/root --set kubeflow.defaults.retries=2 -o my.json
    """
    if searches:
        from pipeline.search import cluster

        each = {"": cluster.compile_round(config, overrides, target, image, pipeline_root, output)}
    else:
        each = compiling.compile_each(config, overrides, only, target, image, pipeline_root, output)
    if output == "-":
        click.echo(each[""].compiled.text(), nl=False)
        return
    for one in each.values():
        compiling.write(one.compiled.text(), one.output)
    summaries = {kind: compiling.summary(one.compiled, one.output) for kind, one in each.items()}
    if as_json:
        click.echo(json.dumps(summaries.get("", {"targets": summaries}), indent=2))
        return
    for kind, one in each.items():
        name, tasks = one.file.config.name, summaries[kind]["tasks"]
        for_target = f" for target: {kind}" if kind else ""
        streams.answer(
            f"{name} compiled{for_target} to {one.output}: {len(tasks)} tasks, up to {summaries[kind]['width']} at a "
            "time"
        )
        for parameter, default in summaries[kind]["parameters"].items():
            streams.answer(f"  {parameter}: {default}")
    for note in compiling.notes(next(iter(each.values())).file):
        streams.answer(note)
