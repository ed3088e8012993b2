"""Look at the decisions of a running daemon from a terminal."""
