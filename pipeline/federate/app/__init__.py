"""A federated training that Paredown has written: `flwr run` trains it."""
