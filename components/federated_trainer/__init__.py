"""Trains the baseline on clients that share updates of the model, and not their examples."""
