"""The smallest H.264 encoder: every macroblock as it is (I_PCM), every picture whole, so no codec has to be there.

Baseline profile, level 3.0, BT.601, one slice a picture. Specification: ITU-T H.264, 7.3 and 7.4.
"""

from __future__ import annotations

import re

import cv2
import numpy as np

from edge.types import Image

__all__ = ["headers", "picture"]

BLOCK = 16
START = b"\0\0\0\1"


def headers(width: int, height: int) -> bytes:
    """Return the sequence and picture parameter sets; both sides are multiples of 16."""
    across, down = _ue(width // BLOCK - 1), _ue(height // BLOCK - 1)
    sequence = f"{66:08b}{0xC0:08b}{30:08b}" + _ue(0) + _ue(0) + _ue(2) + _ue(0) + "0" + across + down + "1100"
    whole = _ue(0) + _ue(0) + "00" + _ue(0) + _ue(0) + _ue(0) + "000" + _ue(0) + _ue(0) + _ue(0) + "100"
    return _unit(0x67, _bytes(sequence + "1")) + _unit(0x68, _bytes(whole + "1"))


def picture(image: Image, number: int) -> bytes:
    """Return one picture of (H, W, 3) BGR as an access unit, headers before it: a viewer may begin with any."""
    height, width = image.shape[:2]
    planes = cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420)
    luma, chroma = planes[:height], planes[height:].reshape(2, height // 2, width // 2)
    head = _ue(0) + _ue(7) + _ue(0) + "0000" + _ue(number % 2) + "00" + _ue(0) + _ue(1)
    parts: list[bytes] = []
    for row in range(0, height, BLOCK):
        for column in range(0, width, BLOCK):
            parts.append(_bytes(head + _ue(25)))  # I_PCM, and zeros to the next byte
            parts.append(luma[row : row + BLOCK, column : column + BLOCK].tobytes())
            half = slice(row // 2, row // 2 + BLOCK // 2), slice(column // 2, column // 2 + BLOCK // 2)
            parts += [np.ascontiguousarray(plane[half]).tobytes() for plane in chroma]
            head = ""
    return headers(width, height) + _unit(0x65, b"".join(parts) + b"\x80")


def _ue(value: int) -> str:
    """Return an unsigned Exp-Golomb code as bits."""
    bits = f"{value + 1:b}"
    return "0" * (len(bits) - 1) + bits


def _bytes(bits: str) -> bytes:
    return int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")


def _unit(kind: int, payload: bytes) -> bytes:
    """Return a unit of the byte stream; three zeros on end never stand in it."""
    return START + bytes([kind]) + re.sub(b"\0\0(?=[\0-\3])", b"\0\0\3", payload)
