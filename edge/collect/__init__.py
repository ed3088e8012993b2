"""The other end of the outbox: writes decisions and events down and acknowledges them after its own commit."""
