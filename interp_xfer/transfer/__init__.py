"""Carrying concepts from one model into another: paired tokens, fitted maps, carried directions."""
