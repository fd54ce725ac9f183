"""A technique that is not part of Paredown: one folder, and one call of `components.registry.register`.

It makes the kernels of convolutions mirror-symmetric: each equals itself when it is flipped from left to right.
"""
