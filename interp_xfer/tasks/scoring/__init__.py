"""Reading answers from text and comparing them with the gold answer."""
