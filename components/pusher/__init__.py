"""Pushes the selected model to the folder that it is served from."""
