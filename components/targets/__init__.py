"""What a model is deployed on: one folder for each kind of target."""
