"""The report of a run: one page that opens from disk. Imports neither TensorFlow nor TFX."""

from pipeline.report.page import ReportError, write, write_comparison, write_run

__all__ = ["ReportError", "write", "write_comparison", "write_run"]
