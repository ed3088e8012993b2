"""Record what the daemon saw and decided, play it again, compare."""
