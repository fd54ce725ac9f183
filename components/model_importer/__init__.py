"""An existing model as the baseline."""
