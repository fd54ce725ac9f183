"""The command of a task's container, under the name that compiled pipelines call it by."""

from pipeline.kubeflow.entrypoint import main, run_as_process

__all__ = ["main"]

if __name__ == "__main__":
    run_as_process()
