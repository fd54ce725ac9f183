"""Pushing the selected model to where it is served from."""
