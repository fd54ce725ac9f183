"""Weight clustering (`cluster`), stage 2 of a chain: between `prune` and `qat`."""
