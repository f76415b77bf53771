"""Benchmarks: rows, prompts, few-shot examples, splits, answer extraction; contrast-pair builders."""
