"""Validates the data, and stops the run if a model would suffer from them."""
