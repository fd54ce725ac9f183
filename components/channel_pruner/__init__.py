"""Removing whole channels of layers."""
