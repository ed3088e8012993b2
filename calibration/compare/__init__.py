"""Two builds on one catalogue: what quantisation, another input size or another backbone costs, and whom."""
