"""Kernels for one image at a time: lanes hold channels (of one image) instead of images."""
