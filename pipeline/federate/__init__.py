"""A federated training as an app of Flower, for clients on real machines."""
