"""Reads CSV files in which some cells mean missing values."""
