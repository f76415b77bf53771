"""One question asked of a run: `compute(store) -> table`, `figure(table)`."""
