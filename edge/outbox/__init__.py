"""Decisions and events that arrive: kept on the disk until a collector has written them down too.

    Outgoing ──put──> queue ──commit──> SQLite ──send──> collector
    (frame loop,      (bounded)         (Store)          (ROUTER; acknowledges after its own commit,
     never waits)                          ^ │            and then the row is deleted here)
                                           └─┘ not acknowledged within RESEND_MS: sent again

At least once: a collector tells copies of a decision apart by `(device_id, epoch, seq)` and those of
an event by `event_id`. What was committed survives the daemon, the
collector, the network and the power; what was lost before, and why, is counted.
"""
