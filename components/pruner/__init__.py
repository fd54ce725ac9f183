"""Magnitude pruning."""
