"""Paredown's program: configuration, plan, pipeline, runners and command line."""
