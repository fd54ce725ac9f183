"""Validates the data, and stops the run where a model would suffer from them."""
