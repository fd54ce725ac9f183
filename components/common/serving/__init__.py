"""A model server: TensorFlow Serving's REST and gRPC and KServe's REST, over LiteRT or a SavedModel."""
