"""Reads folders of images, one sub-folder a class, as TFX examples."""
