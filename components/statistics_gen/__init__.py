"""Statistics of the examples, computed in one process if that is all there is."""
