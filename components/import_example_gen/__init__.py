"""Reads TFRecord files of examples."""
