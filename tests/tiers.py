"""Three tiers of tests: `unit` imports no TensorFlow and starts no server, `tf` may, `e2e` makes whole runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

# Folders and files whose tests are `unit`, but for those marked `tf`. All others outside of tests/e2e are `tf`.
UNIT = (
    "tests/test_import_contracts.py",
    "tests/test_shared.py",
    "tests/test_tiers.py",
    "tests/components/anomaly_gate/test_distance.py",
    "tests/components/common/base/",
    "tests/components/common/models/test_invariants.py",
    "tests/components/common/training/test_worker_group.py",
    "tests/components/distiller/test_params.py",
    "tests/components/evaluator/test_documents.py",
    "tests/components/evaluator/test_federated.py",
    "tests/components/evaluator/test_verdict.py",
    "tests/components/federated_trainer/test_aggregation.py",
    "tests/components/federated_trainer/test_broadcast.py",
    "tests/components/federated_trainer/test_client_split.py",
    "tests/components/federated_trainer/test_compression.py",
    "tests/components/federated_trainer/test_free_values.py",
    "tests/components/federated_trainer/test_params.py",
    "tests/components/federated_trainer/test_privacy.py",
    "tests/components/federated_trainer/test_record.py",
    "tests/components/pruner/test_invariants.py",
    "tests/components/pruner/test_params.py",
    "tests/components/pusher/test_version_folder.py",
    "tests/components/test_imports.py",
    "tests/components/test_registry.py",
    "tests/pipeline/api/",
    "tests/pipeline/base/",
    "tests/pipeline/checks/test_client_files.py",
    "tests/pipeline/checks/test_csv_table.py",
    "tests/pipeline/checks/test_distribution_checks.py",
    "tests/pipeline/checks/test_load_limits.py",
    "tests/pipeline/checks/test_parquet_table.py",
    "tests/pipeline/cli/",
    "tests/pipeline/config/",
    "tests/pipeline/diff/",
    "tests/pipeline/federate/test_export.py",
    "tests/pipeline/gc/",
    "tests/pipeline/kubeflow/test_connection.py",
    "tests/pipeline/kubeflow/test_dockerfile.py",
    "tests/pipeline/kubeflow/test_docs.py",
    "tests/pipeline/kubeflow/test_image_check.py",
    "tests/pipeline/kubeflow/test_package.py",
    "tests/pipeline/kubeflow/test_server.py",
    "tests/pipeline/kubeflow/test_watch.py",
    "tests/pipeline/lineage/",
    "tests/pipeline/plan/",
    "tests/pipeline/project/",
    "tests/pipeline/report/",
    "tests/pipeline/run/test_display.py",
    "tests/pipeline/run/test_node_processes.py",
    "tests/pipeline/run/test_parallelism.py",
    "tests/pipeline/run/test_side_by_side.py",
    "tests/pipeline/search/",
    "tests/pipeline/store/",
    "tests/requirements/",
)
# Files in these folders that are `tf` anyway: they import TensorFlow, or start a browser or a database.
NOT_UNIT = (
    "tests/pipeline/report/test_advice.py",
    "tests/pipeline/report/test_page.py",
    "tests/pipeline/report/test_tables.py",
    "tests/pipeline/store/test_at_once.py",
    "tests/pipeline/store/test_connection.py",
    "tests/pipeline/store/test_postgresql.py",
    "tests/pipeline/store/test_texts.py",
)
HEAVY = {
    "apache_beam",
    "tensorflow",
    "tensorflow_data_validation",
    "tensorflow_model_analysis",
    "tensorflow_model_optimization",
    "tensorflow_transform",
    "tf_keras",
    "tfx",
    "tfx_bsl",
}


def is_unit(path: str) -> bool:
    """Whether tests of a file, named from the repository's root, are `unit` if nothing marks them."""
    return path.startswith(UNIT) and path not in NOT_UNIT


def has_unit(folder: str) -> bool:
    """Whether a folder, named from the repository's root, has files of `unit` tests."""
    return (
        folder in (".", "tests")
        or f"{folder}/".startswith(UNIT)
        or any(f.startswith(f"{folder}/") for f in UNIT)
    )


class NoTensorFlow(MetaPathFinder, Loader):
    """Finds TensorFlow and what is made of it, and refuses to import it."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.partition(".")[0] not in HEAVY:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None:
            spec.loader = self
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        raise ImportError(
            f"a unit test imports {spec.name}; mark the test with pytest.mark.tf, or take its file out of "
            "tests/tiers.py"
        )

    def exec_module(self, module: ModuleType) -> None:
        raise NotImplementedError


def forbid_tensorflow() -> None:
    """From now on this process, which has not imported TensorFlow, cannot."""
    assert "tensorflow" not in sys.modules
    sys.meta_path.insert(0, NoTensorFlow())
