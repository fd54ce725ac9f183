"""The baseline's predictions on the eval split, made once for all candidates."""
