"""The Typer application, one file per group of verbs; no logic."""
