"""Steering vectors, what they do to a residual stream, and the hooks that do it."""
