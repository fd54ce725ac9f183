"""Reads CSV files in which some cells stand for missing values."""
