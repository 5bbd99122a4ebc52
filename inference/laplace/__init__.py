"""Laplace's approximation of the posterior: the coordinates in which the sampler walks, and where it starts."""
