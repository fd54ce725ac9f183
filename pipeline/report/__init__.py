"""The report of a run: one page that opens from disk. Imports neither TensorFlow nor TFX."""

from pipeline.report.page import write, write_comparison

__all__ = ["write", "write_comparison"]
