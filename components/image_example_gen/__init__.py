"""Reads folders of images, with a subfolder per class, as TFX examples."""
