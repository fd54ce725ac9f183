"""Reads Parquet files."""
