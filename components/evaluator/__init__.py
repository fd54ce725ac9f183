"""Judges a candidate, as it will be deployed, against the baseline."""
