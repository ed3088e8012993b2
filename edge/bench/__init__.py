"""Measure the product on the machine that it runs on.

source      the configuration made measurable, and frames of it held in memory
child       the real daemon as a child process, watched over ZeroMQ
throughput  the daemon against a bare loop of the same engine
paced       latency from frame in memory to message sent, at a set load
memory      what all processes of the daemon hold, and whether it grows
search      the nearest-prototype search alone
decide      what a decision costs beyond the engine, in time and memory
machine     what it was measured on
report      figures, bars, table and file
"""

import edge.one_thread  # noqa: F401  # here, before any module of this package can import NumPy
