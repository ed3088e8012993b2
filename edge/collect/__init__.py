"""The other end of the outbox: writes decisions down and acknowledges them after its own commit."""
