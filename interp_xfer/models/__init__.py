"""Model references, loading as a TransformerLens bridge, fingerprints."""
