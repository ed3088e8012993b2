"""What can be seen from outside: pages over HTTP, read from `edge.health`, which alone counts."""

from edge.metrics.server import MetricsServer

__all__ = ["MetricsServer"]
