"""The command line. Nothing here imports TensorFlow or TFX before a run that needs them."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.base.exit_code import (
    EXIT_INTERRUPTED,
    EXIT_INVALID,
    EXIT_NODE_FAILED,
    EXIT_NONE_PASSED,
    EXIT_PUSHED,
)
from pipeline.cli import kubeflow as kubeflow_cli
from pipeline.cli import review as review_cli
from pipeline.cli.checked_config import load_checked as _load
from pipeline.cli.image import image_check
from pipeline.cli.init import init
from pipeline.cli.refusal import refuse, row

if TYPE_CHECKING:
    from pipeline.config.config_file import ConfigFile
    from pipeline.config.problem import Problem
    from pipeline.inspection.contents import Inspection, Unread
    from pipeline.plan.plan import Plan

_EXIT_CODES = f"""\b
Exit codes:
  {EXIT_PUSHED}    the winner is pushed
  {EXIT_INVALID}    invalid input; nothing was written
  {EXIT_NODE_FAILED}    a node failed; its traceback is saved
  {EXIT_NONE_PASSED}    everything ran, but no candidate passed the gate
  {EXIT_INTERRUPTED}  interrupted; run again to go on from there"""

_overrides = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a key of the config, e.g. --set gate.size.max_ratio=0.5 "
    "or --set candidates.int8.0.convert.io=float32.",
)
_only = click.option(
    "--only",
    multiple=True,
    metavar="CANDIDATE",
    help="Leave out all other candidates; may be repeated.",
)
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts to read.")
_config = click.argument("config", type=click.Path(path_type=Path))


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="paredown")
def main() -> None:
    """Make a Keras model smaller and faster, within a budget that you set.

    One YAML file says which data and model to use, which optimized candidates to build (pruned,
    quantized, distilled …) and which limits on accuracy, latency and size they must meet. Paredown
    trains, builds and compares them as TFX pipeline nodes and pushes the best that passes.

    \b
    Typical use:
      paredown init my-project                         # a new project that runs as it is
      paredown validate configs/mnist/pipeline.yaml    # is the file right?
      paredown plan configs/mnist/pipeline.yaml        # what would run, what is cached?
      paredown explain configs/mnist/pipeline.yaml     # what will each step do to each layer?
      paredown run configs/mnist/pipeline.yaml         # run it
      paredown compile configs/mnist/pipeline.yaml …   # or compile it for Kubeflow Pipelines
      paredown submit mnist.yaml --host … --wait       # and run it there
      paredown lineage serving/mnist                   # what was the pushed model made from?
    """
    for stream in (sys.stdout, sys.stderr):
        # Characters that a terminal does not have (LC_ALL=C, names that are no UTF-8) are no reason to fail.
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")


main.add_command(init)
main.add_command(image_check)


@main.command(epilog="Exit codes: 0 valid, 2 not.")
@_config
@_overrides
@_as_json
def validate(config: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Check a config: keys, types, steps, files, functions, metric. Takes under a second.

    Each mistake is one line: file, line, key, what was expected, and the nearest valid name.

    \b
    Examples:
      paredown validate configs/mnist/pipeline.yaml
      paredown validate configs/mnist/pipeline.yaml --set gate.latency.max_ratio=0.5
      paredown validate my.yaml --json | jq '.problems[].message'
    """
    file = _load(config, overrides, (), as_json)
    if as_json:
        click.echo(json.dumps({"valid": True, "problems": []}))
        return
    count = len(file.config.candidates)
    click.echo(f"{config} is valid: {count} candidate{'s' if count != 1 else ''}")


@main.command(epilog="Exit codes: 0 planned, 2 invalid input.")
@_config
@_overrides
@_only
@_as_json
def plan(config: Path, overrides: tuple[str, ...], only: tuple[str, ...], as_json: bool) -> None:
    """Show what a run would do: the nodes, which are shared, which are cached. Takes under a second.

    \b
    Examples:
      paredown plan configs/mnist/pipeline.yaml
      paredown plan configs/mnist/pipeline.yaml --only int8 --only qat-int8
      paredown plan configs/mnist/pipeline.yaml --json | jq '.nodes[] | select(.cached | not) | .id'
    """
    file = _load(config, overrides, only, as_json)
    planned, cached = _plan(file, as_json)
    if as_json:
        click.echo(json.dumps(_plan_json(file, planned, cached), indent=2))
        return
    from pipeline.base.console import make_console
    from pipeline.plan import data_files
    from pipeline.plan.table import plan_summary, plan_table

    console = make_console()
    console.print(plan_table(planned, cached))
    console.print(plan_summary(planned, cached))
    span = data_files.chosen_span(file.config.data)
    if span is not None:
        told = ", ".join(data_files.patterns(file.config.data).values())
        console.print(f"Data: {span}: {told}", markup=False, highlight=False, soft_wrap=True)


@main.command(epilog="Exit codes: 0 explained, 2 invalid input, or a step that cannot work.")
@_config
@_overrides
@_only
@_as_json
def explain(config: Path, overrides: tuple[str, ...], only: tuple[str, ...], as_json: bool) -> None:
    """Show what each step will do to each layer, what it refuses and why, and predict file sizes.

    Builds the models, untrained, and lets each step look at what it will get; trains nothing and writes
    nothing. `run` makes the same check first. Takes some seconds, most of them to import TensorFlow.

    \b
    Examples:
      paredown explain configs/mnist/pipeline.yaml
      paredown explain configs/mnist/pipeline.yaml --only pruned-qat-int8
      paredown explain my.yaml --json | jq '.candidates[] | .predicted_bytes'
    """
    file = _load(config, overrides, only, as_json)
    candidates, problems = _explain(file)
    if as_json:
        from pipeline.explain.explanation import to_json

        rows = {candidate.name: to_json(candidate) for candidate in candidates}
        click.echo(json.dumps({"candidates": rows, "problems": [row(p) for p in problems]}, indent=2))
    else:
        from pipeline.base.console import make_console
        from pipeline.explain import table as explanation_table

        explanation_table.show(make_console(), candidates)
        for problem in problems:  # those of candidates stand below their tables
            if not (candidates and problem.location[:1] == ("candidates",)):
                click.echo(str(problem), err=True)
        refused = [candidate.name for candidate in candidates if candidate.refused()]
        if refused:
            click.echo(f"{config}: cannot be built: {', '.join(refused)}", err=True)
    if problems:
        sys.exit(EXIT_INVALID)


@main.command(epilog=_EXIT_CODES)
@_config
@_overrides
@_only
@_as_json
def run(config: Path, overrides: tuple[str, ...], only: tuple[str, ...], as_json: bool) -> None:
    """Run a config: train, build the candidates, judge them, push the best that passes.

    What an earlier run has done and nothing has changed since is taken from the cache; after a failure
    or Ctrl-C, the same command goes on where it stopped.

    \b
    Examples:
      paredown run configs/mnist/pipeline.yaml
      paredown run configs/mnist/pipeline.yaml --only int8 --set gate.accuracy.max_drop=0.01
      paredown run configs/mnist/pipeline.yaml --json > result.json
    """
    from pipeline.cli import run_command

    file = _load(config, overrides, only, as_json)
    planned, cached = _plan(file, as_json)
    try:
        code = run_command.run(file, planned, cached, as_json)
    except KeyboardInterrupt:  # while importing or checking; a run has its own way to stop
        click.echo("Interrupted before anything was run.", err=True)
        code = EXIT_INTERRUPTED
    sys.exit(code)


@main.command("compile", epilog="Exit codes: 0 compiled and written, 2 invalid input; nothing was written.")
@_config
@click.option(
    "--target",
    type=click.Choice(["kubeflow", "vertex"]),
    default="kubeflow",
    show_default=True,
    help="kubeflow: Kubeflow Pipelines 2, as YAML; vertex: Vertex AI Pipelines, as JSON.",
)
@click.option("--image", required=True, help="Container image of the tasks, with this project in it.")
@click.option(
    "--pipeline-root",
    required=True,
    metavar="URI",
    help="Where artifacts go: gs://…, and for kubeflow also s3://… and minio://….",
)
@click.option(
    "-o", "--output", metavar="FILE", help="File to write; - prints it. [default: <name>.yaml or .json]"
)
@_overrides
@_only
@_as_json
def compile_(
    config: Path,
    target: str,
    image: str,
    pipeline_root: str,
    output: str | None,
    overrides: tuple[str, ...],
    only: tuple[str, ...],
    as_json: bool,
) -> None:
    """Compile a config for a cluster: one task for each node of the plan.

    The config is the one that `run` takes; its section `kubeflow` says where the tasks find data and push
    to, and what they get: cpu, memory, accelerator, node_selector, retries, cache, env. What the cluster
    cannot run is refused. Data path, push directory and seed are parameters of the compiled pipeline, with
    the config's values for defaults. Takes some seconds, most of them to import TFX.

    \b
    Examples:
      paredown compile configs/mnist/pipeline.yaml --image registry.example.com/paredown:1 \\
          --pipeline-root minio://mlpipeline/paredown
      paredown compile my.yaml --target vertex --image europe-docker.pkg.dev/p/r/paredown:1 \\
          --pipeline-root gs://bucket/root --set kubeflow.defaults.retries=2 -o my.json
    """
    from pipeline.config.problem import Problem
    from pipeline.kubeflow import compile as compile_command
    from pipeline.plan.plan import make_plan

    file = _load(config, overrides, only, as_json)
    whole = _load(config, overrides, (), as_json) if only else file
    output = output or compile_command.default_output(file.config.name, target)
    problems = compile_command.problems_of(whole, target, image, pipeline_root, output)
    if problems:
        refuse(problems, as_json)
    try:
        compiled = compile_command.compile_config(
            file, make_plan(file.config, file.path), target, image, pipeline_root
        )
    except compile_command.CompileError as error:
        refuse([Problem(str(error), file=str(config))], as_json)
    if output == "-":
        click.echo(compiled.text(), nl=False)
        return
    try:
        compile_command.write(compiled.text(), Path(output))
    except OSError as error:
        refuse([Problem(f"cannot be written: {error.strerror}", (), f"-o {output}")], as_json)
    told = compile_command.summary(compiled, output)
    if as_json:
        click.echo(json.dumps(told, indent=2))
        return
    click.echo(
        f"{file.config.name} compiled to {output}: {len(told['tasks'])} tasks, up to {told['width']} at a time"
    )
    for name, default in told["parameters"].items():
        click.echo(f"  {name}: {default}")
    for note in compile_command.notes(file):
        click.echo(note)


@main.command(epilog="Exit codes: 0 shown, 2 there is no model that can be read.")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--tensors", is_flag=True, help="List every tensor of a TFLite file with its quantization.")
@_as_json
def inspect(path: Path, tensors: bool, as_json: bool) -> None:
    """Show what a model file holds: signatures, operators, weights layer by layer.

    PATH is a TFLite file, a Keras file (.h5, .keras), the folder of a SavedModel, of a pushed model or
    of a Model artifact. Of each layer's weights: their share of the file, how many are zero, how many
    distinct values there are. A TFLite file is tried on LiteRT, too; for the other formats TensorFlow
    is imported, which takes some seconds.

    \b
    Examples:
      paredown inspect serving/mnist                   # what was pushed last
      paredown inspect model.tflite --tensors          # with each tensor's scale and zero point
      paredown inspect model.h5 --json | jq '.models[].layers[] | {name, sparsity, unique}'
    """
    from pipeline.base.console import make_console
    from pipeline.config.problem import Problem
    from pipeline.inspection import inspection

    try:
        found = _inspect(path)
    except inspection.InspectionError as error:
        refuse([Problem(str(error), file=str(path))], as_json)
    if as_json:
        click.echo(json.dumps({"models": [model.to_json(tensors) for model in found]}, indent=2))
        return
    from pipeline.inspection import table as inspection_table

    console = make_console()
    for model in found:
        inspection_table.show(model, console, tensors)


@main.command()
def schema() -> None:
    """Print the JSON Schema of a config, for editors that complete and check YAML.

    \b
    Example:
      paredown schema > paredown.schema.json
    and in the config's first line: # yaml-language-server: $schema=paredown.schema.json
    """
    from pipeline.config.config import Config

    click.echo(json.dumps(Config.model_json_schema(), indent=2))


def _inspect(path: Path) -> list[Inspection | Unread]:
    """Inspects, with what TensorFlow prints kept off the terminal."""
    import tempfile

    from pipeline import environment
    from pipeline.base import log_file
    from pipeline.inspection import inspection
    from pipeline.inspection import target as inspection_target

    if all(form == inspection.TFLITE for form, _ in inspection_target.find(path)):
        return inspection.inspect(path)
    environment.prepare()
    with (
        tempfile.TemporaryDirectory(prefix="paredown-") as folder,
        log_file.output_to(Path(folder) / "tensorflow.log") as (_, err),
    ):
        from pipeline.base.console import make_console

        with make_console(err).status("Loading with TensorFlow …"):
            return inspection.inspect(path)


def _plan(file: ConfigFile, as_json: bool) -> tuple[Plan, set[str]]:
    """The plan, and which of its nodes are cached; ends the program where the store cannot be opened."""
    from pipeline.config.metadata_url import StoreError
    from pipeline.plan.plan import make_plan
    from pipeline.run.cache import cached_nodes
    from pipeline.store.reader import open_reader

    planned = make_plan(file.config, file.path)
    try:
        reader = open_reader(file.config.metadata_url)
    except StoreError as error:
        refuse([file.problem(("run", "metadata"), str(error))], as_json)
    return planned, cached_nodes(planned, reader)


def _plan_json(file: ConfigFile, planned: Plan, cached: set[str]) -> dict[str, Any]:
    from pipeline.plan import data_files

    return {
        "name": planned.name,
        "data": data_files.choice(file.config.data),
        "nodes": [
            {
                "id": node.id,
                "component": node.component,
                "inputs": {key: f"{source.node}.{source.key}" for key, source in node.inputs.items()},
                "parameters": node.parameters,
                "candidates": list(node.candidates),
                "trains": node.trains,
                "cached": node.id in cached,
            }
            for node in planned.nodes
        ],
    }


def _explain(file: ConfigFile) -> tuple[list[Any], list[Problem]]:
    """Explanations of all candidates, and what is wrong; none where the model itself cannot be used."""
    import tempfile

    from pipeline import environment
    from pipeline.base import log_file
    from pipeline.base.console import make_console
    from pipeline.plan import model_source
    from pipeline.plan.plan import make_plan

    environment.prepare()
    if file.config.model.module is not None:
        module_file = model_source.find_module(file.config.model.module, file.path)
        assert module_file is not None  # checks.check has refused it otherwise
        environment.make_importable(module_file, file.config.model.module)
    with (
        tempfile.TemporaryDirectory(prefix="paredown-") as folder,
        log_file.output_to(Path(folder) / "imports.log") as (_, err),
        make_console(err).status("Importing TensorFlow, building the models …"),
    ):
        from pipeline.checks import preflight

        return preflight.explain(file, make_plan(file.config, file.path))


for _command in (*review_cli.COMMANDS, *kubeflow_cli.COMMANDS):
    main.add_command(_command)
