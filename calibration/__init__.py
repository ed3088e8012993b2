"""Off the device: turn a catalogue of photos into a bundle that the daemon runs. May import edge; never builder."""
