"""One file per question a researcher asks of a run."""
