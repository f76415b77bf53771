"""Statistics of counts, shares and means: no model, no file."""
