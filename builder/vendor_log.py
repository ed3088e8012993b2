"""Quiet ONNX Runtime's own chatter while it works for us; what matters reaches us as exceptions.

Its quantiser advises through the root logger and prints; its C++ side writes warnings about weights it removes.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator

import onnxruntime

__all__ = ["quiet"]

ERRORS_ONLY, DEFAULT = 3, 2


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drop prints and log records made inside the block, in this process."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    onnxruntime.set_default_logger_severity(ERRORS_ONLY)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        onnxruntime.set_default_logger_severity(DEFAULT)
        logging.disable(before)
