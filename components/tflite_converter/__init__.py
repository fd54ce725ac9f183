"""Conversion to TFLite, with post-training quantization."""
