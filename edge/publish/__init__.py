"""Where messages go: a ZeroMQ socket, a journal file, or a list in memory."""
