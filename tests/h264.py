"""The smallest H.264 encoder: every macroblock as it is (I_PCM) or as it was (P_Skip), so no codec has to be there.

Baseline profile, level 3.0, BT.601, one slice a picture. Specification: ITU-T H.264, 7.3 and 7.4.
"""

from __future__ import annotations

import re

import cv2
import numpy as np

from edge.types import Image

__all__ = ["BLOCK", "change", "headers", "picture"]

BLOCK = 16
START = b"\0\0\0\1"


def headers(width: int, height: int) -> bytes:
    """Return the sequence and picture parameter sets; both sides are multiples of 16."""
    across, down = _ue(width // BLOCK - 1), _ue(height // BLOCK - 1)
    sequence = f"{66:08b}{0xC0:08b}{30:08b}" + _ue(0) + _ue(0) + _ue(2) + _ue(1) + "0" + across + down + "1100"
    whole = _ue(0) + _ue(0) + "00" + _ue(0) + _ue(0) + _ue(0) + "000" + _ue(0) + _ue(0) + _ue(0) + "100"
    return _unit(0x67, _bytes(sequence + "1")) + _unit(0x68, _bytes(whole + "1"))


def picture(image: Image, number: int) -> bytes:
    """Return one picture of (H, W, 3) BGR as an access unit, headers before it: a viewer may begin with any."""
    height, width = image.shape[:2]
    head = _ue(0) + _ue(7) + _ue(0) + "0000" + _ue(number % 2) + "00" + _ue(0) + _ue(1)
    blocks = _blocks(image)
    parts = [_bytes(head + _ue(25)), blocks[0]]
    for block in blocks[1:]:
        parts += [_bytes(_ue(25)), block]  # I_PCM, and zeros to the next byte
    return headers(width, height) + _unit(0x65, b"".join(parts) + b"\x80")


def change(image: Image, number: int, blocks: int = 1) -> bytes:
    """Return a picture that is the one before, but for its first `blocks` macroblocks, which are those of `image`.

    `number` counts from 1 after each `picture`.
    """
    head = _ue(0) + _ue(5) + _ue(0) + f"{number % 16:04b}" + "000" + _ue(0) + _ue(1)
    every = _blocks(image)
    parts = []
    for block in every[:blocks]:
        parts += [_bytes(head + _ue(0) + _ue(30)), block]
        head = ""
    return _unit(0x41, b"".join(parts) + _bytes(_ue(len(every) - blocks) + "1"))


def _blocks(image: Image) -> list[bytes]:
    """Return the samples of each macroblock of (H, W, 3) BGR, as I_PCM has them."""
    height = image.shape[0]
    planes = cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420)
    luma, chroma = planes[:height], planes[height:].reshape(2, height // 2, -1)
    blocks = []
    for row in range(0, height, BLOCK):
        for column in range(0, image.shape[1], BLOCK):
            half = slice(row // 2, row // 2 + BLOCK // 2), slice(column // 2, column // 2 + BLOCK // 2)
            part = luma[row : row + BLOCK, column : column + BLOCK].tobytes()
            blocks.append(part + b"".join(np.ascontiguousarray(plane[half]).tobytes() for plane in chroma))
    return blocks


def _ue(value: int) -> str:
    """Return an unsigned Exp-Golomb code as bits."""
    bits = f"{value + 1:b}"
    return "0" * (len(bits) - 1) + bits


def _bytes(bits: str) -> bytes:
    return int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")


def _unit(kind: int, payload: bytes) -> bytes:
    """Return a unit of the byte stream; three zeros on end never stand in it."""
    return START + bytes([kind]) + re.sub(b"\0\0(?=[\0-\3])", b"\0\0\3", payload)
