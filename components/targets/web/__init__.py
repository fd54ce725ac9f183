"""Browsers."""
