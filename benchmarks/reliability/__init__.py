"""What the daemon does when something breaks: a fault a file, each with the bar that it is held to.

    result.py     what a fault comes back with, and the table
    sizes.py      how often and how long
    cart.py       a real daemon on a folder of its own, and a listener
    paired.py     two states of one daemon in turns, and the ratio between them

Real daemons, sockets, files and signals. Products are the colour patterns of the tests (`tests/samples.py`), whose
engine takes a fraction of a millisecond, so what surrounds it shows the more. `python -m benchmarks.reliability`.
"""
