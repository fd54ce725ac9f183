"""Training a model on."""
