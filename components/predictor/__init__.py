"""What the baseline predicts of the eval split, once for all candidates."""
