"""Compiling a plan for a cluster with TFX's KubeflowV2DagRunner. Imports TFX."""

from __future__ import annotations

from apache_beam import runners
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from tfx.dsl.components.base import base_component, executor_spec
from tfx.orchestration import pipeline as tfx_pipeline
from tfx.orchestration.kubeflow.v2 import compiler_utils, kubeflow_v2_dag_runner

from components.common.base.errors import describe
from pipeline.checks.cluster_nodes import technique_of
from pipeline.config.config import Config
from pipeline.config.kubeflow_options import Target
from pipeline.kubeflow.checks import CompileError
from pipeline.kubeflow.compiled import Compiled
from pipeline.kubeflow.kfp_tasks import KfpTasks
from pipeline.kubeflow.parameters import RunParameter
from pipeline.kubeflow.task_names import task_names
from pipeline.plan.node import MACHINE
from pipeline.plan.plan import Plan
from pipeline.run import build

ENTRYPOINT = ("python", "-m", "pipeline.kubeflow_entrypoint")


def compile_plan(
    plan: Plan,
    config: Config,
    target: Target,
    image: str,
    pipeline_root: str,
    parameters: list[RunParameter],
    module_root: str | None = None,
) -> Compiled:
    """Compiles a plan.

    Args:
        plan: Its nodes become tasks.
        config: The config that it was made from, `pipeline.kubeflow.checks.check`ed.
        target: `kubeflow` for schema 2.1, which the open-source backend reads; `vertex` for schema 2.0, which TFX
            compiles for Vertex AI.
        image: Container image of the tasks.
        pipeline_root: URI of the folder of artifacts.
        parameters: What may differ from run to run.
        module_root: Folder of the model module, below the image's working directory.

    Raises:
        CompileError: If TFX cannot write a node as a task, or Beam has no such runner.
    """
    _refuse_beam_args(config.run.beam_args)
    plan = plan.elsewhere()
    names = task_names(plan)
    pipeline = build.build(plan, config, pipeline_root, names)
    _refuse_artifact_types(pipeline)
    runner = kubeflow_v2_dag_runner.KubeflowV2DagRunner(
        kubeflow_v2_dag_runner.KubeflowV2DagRunnerConfig(
            default_image=image,
            default_commands=list(ENTRYPOINT),
            use_pipeline_spec_2_1=target == "kubeflow",
        )
    )
    defaults = {parameter.name: parameter.default for parameter in parameters}
    job = runner.run(pipeline, parameter_values=defaults, write_out=False)
    tasks = KfpTasks(job["pipelineSpec"], target)
    for parameter in parameters:
        tasks.define(parameter)
        for binding in parameter.bindings:
            tasks.bind(names[binding.node], binding, parameter)
    beam = {component.id for component in pipeline.components if _uses_beam(component)}
    for node in plan.nodes:
        name = names[node.id]
        options = config.kubeflow.of_node(node.id, technique_of(node))
        if options.cache is None and MACHINE in node.parameters:
            # Times of another machine would be taken for those of this one.
            options = options.model_copy(update={"cache": False})
        tasks.set_options(name, options, config.kubeflow.volumes)
        tasks.set_arguments(name, config.run.beam_args if name not in beam else [], module_root)
    job["pipelineSpec"] = tasks.finished(pipeline_root)
    return Compiled(target, job, tasks.platform(), tuple(parameters))


def _uses_beam(component: base_component.BaseComponent) -> bool:
    return isinstance(component.executor_spec, executor_spec.BeamExecutorSpec)


def _refuse_beam_args(beam_args: list[str]) -> None:
    try:
        name = PipelineOptions(beam_args).view_as(StandardOptions).runner
        runners.create_runner(name or "DirectRunner")
    except (ValueError, ImportError, AttributeError, SystemExit) as error:
        raise CompileError(f"run.beam_args: Apache Beam refuses them: {describe(error)}") from error


def _refuse_artifact_types(pipeline: tfx_pipeline.Pipeline) -> None:
    for component in pipeline.components:
        for key, channel in {**component.inputs, **component.outputs}.items():
            kind = channel.type
            try:
                compiler_utils.build_output_artifact_spec(channel)
            except (KeyError, ValueError, TypeError) as error:
                why = f"is called {kind.TYPE_NAME!r}; name it <package>.<Type>, as it is imported"
                if kind.PROPERTIES:
                    why = (
                        "declares PROPERTIES, which custom types cannot have; set custom properties instead"
                    )
                raise CompileError(
                    f"{component.id}: {key!r} is an artifact of a type that Kubeflow does not support: "
                    f"{kind.__name__} {why} ({error})"
                ) from error
