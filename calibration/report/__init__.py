"""What calibration found, for people: figures, charts, the page, the terminal."""
