"""What a daemon needs that runs for months: told to its supervisor, tested on schedule, changed while it decides.

    notify        what is said to the supervisor (systemd): the protocol alone
    supervision   when it is said: readiness, the watchdog, a line for a person
    room          memory for the cameras' frames, granted where it is there
    selftest      the golden crops through the running engine, on schedule
    candidate     a new configuration, read, checked and loaded beside the one that runs
    reload        SIGHUP: a candidate takes over between two frames, or everything goes on as it was
    together      closing many things in the time of the slowest

Supervision, room, self-test and reload are duties of the loop (`edge.daemon.Duty`): done in its thread, between two
frames.
"""
