"""Tests that are long by nature: `make soak`. Each counts what it did, and prints it."""
