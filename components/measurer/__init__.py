"""Measures a candidate, as it will be deployed, beside the baseline."""
