"""Picks the winner among the candidates that pass the gate."""
