"""Concepts of a model, found from contrast pairs (Algorithm 1)."""
