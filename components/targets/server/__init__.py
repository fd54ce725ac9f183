"""Model servers: TensorFlow Serving, KServe, `paredown serve`."""
