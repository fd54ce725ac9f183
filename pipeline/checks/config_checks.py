"""Everything that can be said about a config before it runs, without TensorFlow.

Nothing of the user's is executed, and nothing is left behind.
"""

from __future__ import annotations

from pipeline.checks import (
    client_files,
    data_folder,
    distribution_checks,
    gate_metrics,
    import_checks,
    metadata_file,
    model_module,
    output_folders,
    pretrained_checks,
    target_checks,
    unlabelled,
)
from pipeline.config.config_file import ConfigFile
from pipeline.config.problem import Problem


def check(file: ConfigFile) -> list[Problem]:
    """Looks at the files, the model module, the metrics and the folders of a valid config.

    Returns:
        One problem for each mistake, in the order of the file's sections.
    """
    config = file.config
    functions = model_module.functions(config, file.path)
    return file.located(
        [
            *data_folder.check(config.data, file.path.parent),
            *model_module.check(config, file.path),
            *import_checks.check(config, functions, file.path.parent),
            *pretrained_checks.check(config, functions, file.path.parent),
            *distribution_checks.check(config),
            *client_files.check(config),
            *unlabelled.check(config),
            *gate_metrics.check(config),
            *target_checks.check(config),
            *target_checks.check_packing(config),
            *target_checks.check_tfjs(config, functions),
            *output_folders.check(config),
            *metadata_file.check(config),
        ]
    )
