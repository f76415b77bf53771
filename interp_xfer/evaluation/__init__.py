"""Answers, the search over strengths, evaluation and vote (Algorithms 2 and 3), and their records."""
