"""The nodes of a TFX pipeline, compiled, to be launched on this machine one by one.

Does what TFX's LocalDagRunner does, which can only run all nodes. Caching, drivers and publishers are TFX's.
"""

from __future__ import annotations

import datetime
import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.compiler import constants
from tfx.orchestration import metadata
from tfx.orchestration.local import runner_utils
from tfx.orchestration.pipeline import Pipeline
from tfx.orchestration.portable import (
    base_executor_operator,
    beam_executor_operator,
    data_types,
    launcher,
    python_executor_operator,
    runtime_parameter_utils,
    tfx_runner,
)
from tfx.orchestration.portable.mlmd import context_lib
from tfx.proto.orchestration import (
    executable_spec_pb2,
    execution_invocation_pb2,
    execution_result_pb2,
    pipeline_pb2,
)

from pipeline.config import metadata_url
from pipeline.store.connection import connect
from pipeline.store.reader import Reader
from pipeline.store.state import State

# Calls a function with its argument in another process, and returns what it returns.
Elsewhere = Callable[[Callable[[Any], Any], Any], Any]

# Specification of an executor → what runs it.
_OPERATORS = {
    executable_spec_pb2.PythonClassExecutableSpec: python_executor_operator.PythonExecutorOperator,
    executable_spec_pb2.BeamExecutableSpec: beam_executor_operator.BeamExecutorOperator,
}


class TfxNodes:
    """A pipeline that is ready to run.

    Attributes:
        run_id: Name of the run in ML Metadata: the local time.
    """

    def __init__(self, built: Pipeline, url: str):
        """Compiles a pipeline.

        Args:
            built: The pipeline; its own connection to ML Metadata is not used.
            url: URL of the metadata store, as `run.metadata` has it.
        """
        self.run_id = datetime.datetime.now().isoformat()
        self._url = url
        self._store = _Store(url)
        self._pipeline = _Compiler().run(built)
        runtime_parameter_utils.substitute_runtime_parameter(
            self._pipeline, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: self.run_id}
        )
        self._deployment = runner_utils.extract_local_deployment_config(self._pipeline)
        nodes = [node.pipeline_node for node in self._pipeline.nodes]
        self._nodes = {node.node_info.id: node for node in nodes}

    def register_run(self) -> None:
        """Creates the store, if it does not exist, and the run's context in it.

        Raises:
            StoreError: If the store cannot be opened.
        """
        with self._store as handle:
            context_lib.prepare_contexts(handle, next(iter(self._nodes.values())).contexts)

    def launch(
        self, node: str, use_cache: bool = True, elsewhere: Elsewhere | None = None
    ) -> tuple[State, int | None]:
        """Launches a node, whose inputs must be in the store.

        Args:
            node: Its id.
            use_cache: Whether to take the outputs of an earlier execution if there is one.
            elsewhere: Calls a function with its argument in another process, where the node's executor then runs;
                None if it runs in this one.

        Returns:
            How it went, and the id of its execution. The state is FAILED if TFX does not find the inputs: that
            raises nothing.

        Raises:
            Exception: Whatever the node raises; TFX has then recorded that it failed.
        """
        compiled = self._nodes[node]
        if not use_cache:
            compiled.execution_options.caching_options.enable_cache = False
        info = launcher.Launcher(
            pipeline_node=compiled,
            mlmd_connection=self._store,
            pipeline_info=self._pipeline.pipeline_info,
            pipeline_runtime_spec=self._pipeline.runtime_spec,
            executor_spec=runner_utils.extract_executor_spec(self._deployment, node),
            custom_driver_spec=runner_utils.extract_custom_driver_spec(self._deployment, node),
            custom_executor_operators=(
                dict.fromkeys(_OPERATORS, functools.partial(_OperatorElsewhere, elsewhere))
                if elsewhere
                else None
            ),
        ).launch()
        if info is None or info.execution_id is None:
            return State.FAILED, None
        (execution,) = Reader.open(self._url).executions([info.execution_id])
        ended_well = execution.state in (State.RAN, State.CACHED)
        return execution.state if ended_well else State.FAILED, execution.id


@dataclass(frozen=True)
class _Execution:
    """The input of an executor in another process: serialized protocol buffers.

    Attributes:
        kind: Type of the executor's specification.
        executor: The specification.
        invocation: Inputs, outputs and parameters.
    """

    kind: type[Any]
    executor: bytes
    invocation: bytes


def _execute(execution: _Execution) -> bytes:
    """Runs an executor in this process, as TFX does; returns its ExecutorOutput, serialized."""
    operator = _OPERATORS[execution.kind](execution.kind.FromString(execution.executor))
    invocation = execution_invocation_pb2.ExecutionInvocation.FromString(execution.invocation)
    return operator.run_executor(data_types.ExecutionInfo.from_proto(invocation)).SerializeToString()


class _OperatorElsewhere(base_executor_operator.BaseExecutorOperator):
    """Has another process run the executor; drivers and publishers, which write to the store, stay here."""

    SUPPORTED_EXECUTOR_SPEC_TYPE = list(_OPERATORS)
    SUPPORTED_PLATFORM_CONFIG_TYPE: ClassVar[list[Any]] = []

    def __init__(self, elsewhere: Elsewhere, executor_spec: Any, platform_config: Any = None):
        super().__init__(executor_spec, platform_config)
        self._elsewhere = elsewhere

    def run_executor(self, execution_info: data_types.ExecutionInfo) -> execution_result_pb2.ExecutorOutput:
        execution = _Execution(
            type(self._executor_spec),
            self._executor_spec.SerializeToString(),
            execution_info.to_proto().SerializeToString(),
        )
        return execution_result_pb2.ExecutorOutput.FromString(self._elsewhere(_execute, execution))


class _Compiler(tfx_runner.IrBasedRunner):
    """Runs nothing: its `run` is the public way to compile a pipeline as TFX's runners do."""

    def run_with_ir(
        self, pipeline: pipeline_pb2.Pipeline, run_options: Any = None, **kwargs: Any
    ) -> pipeline_pb2.Pipeline:
        return pipeline


class _Store(metadata.Metadata):
    """TFX's handle of the metadata store, opened by the URL that the config has.

    TFX opens stores by ml_metadata's protocol buffers, which it writes to the log with the password in them, and
    which cannot name PostgreSQL's databases.
    """

    def __init__(self, url: str):
        super().__init__(metadata_store_pb2.ConnectionConfig())
        self._url = url
        self._opened: MetadataStore | None = None
        self._users = 0
        path = metadata_url.parse(url).path
        if path is not None:
            os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)

    def __enter__(self) -> _Store:
        if self._opened is None:
            self._opened = connect(self._url, write=True)
        self._users += 1
        return self

    def __exit__(self, *exception: object) -> None:
        self._users -= 1
        if self._users == 0:
            self._opened = None

    @property
    def store(self) -> MetadataStore:
        if self._opened is None:
            raise RuntimeError("the metadata store is used outside `with`")
        return self._opened
