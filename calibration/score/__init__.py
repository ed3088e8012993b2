"""Hold decisions against the truth of a rendered clip: figures, and a page with pictures."""
