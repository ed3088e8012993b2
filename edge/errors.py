"""Every error that shelfedge raises on purpose, and who acts on it.

    ShelfedgeError            one line: what was found, what was expected, what to do
    ├── InputError            the person at the keyboard mends the input             exit 2
    │   ├── ConfigError       ... a configuration file, with file, line and key      exit 2
    │   ├── CatalogueError    ... a catalogue folder                                 exit 2
    │   ├── ModelError        ... an ONNX model or its preprocess sidecar            exit 2
    │   └── BundleError       ... a bundle; a running daemon keeps the previous one  exit 2
    ├── GateError             a check refused: the figures do not allow shipping     exit 3
    └── RuntimeFault          the machine or its surroundings failed                 exit 1
        ├── CaptureError      a camera; the daemon reopens it with backoff
        ├── EngineError       the engine; the daemon exits, the supervisor restarts it
        └── PublishError      a socket or a file to write to

A command turns any of them into one line on standard error and the exit code above; see `edge.command`.
"""

from __future__ import annotations


class ShelfedgeError(Exception):
    """Root of the tree. The message is one line that says what was found, what was expected and what to do."""

    exit_code = 1


class InputError(ShelfedgeError):
    """Something that a person gave us cannot be used as it is."""

    exit_code = 2


class ConfigError(InputError):
    """A configuration file; the message names file, line and key."""


class CatalogueError(InputError):
    """A catalogue folder: its skus.csv or its photos."""


class ModelError(InputError):
    """An ONNX model or the sidecar that says how it wants its pixels."""


class BundleError(InputError):
    """A bundle that is damaged, incomplete, or made for something else. The previous bundle stays in use."""


class GateError(ShelfedgeError):
    """A check refused: everything was readable, and the figures do not allow going on."""

    exit_code = 3


class RuntimeFault(ShelfedgeError):  # noqa: N818  # a branch of the tree, named for who acts on it
    """The machine or its surroundings failed; trying again later may help."""


class CaptureError(RuntimeFault):
    """A camera cannot be opened or read. The daemon reopens it with backoff; other cameras go on."""


class EngineError(RuntimeFault):
    """The inference engine failed. The daemon exits with an error; its supervisor starts it again."""


class PublishError(RuntimeFault):
    """A decision could not be handed on: the port is taken, or the disk is full."""
