"""TensorFlow.js: its converter, in an environment of its own, and what runs its models in Node and in a browser."""
