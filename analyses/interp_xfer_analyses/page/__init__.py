"""The report: one page with every figure, samples and provenance."""
