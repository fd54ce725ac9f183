"""Deployment targets: one folder for each kind."""
