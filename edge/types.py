"""The vocabulary that every stage shares: plain frozen data and array aliases.

Data flows one way: Frame -> Region -> crop -> Embedding -> Candidate -> Decision.
Arrays never own meaning by themselves: each alias states shape, dtype, order and unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Image: TypeAlias = NDArray[np.uint8]  # (H, W, 3), BGR as OpenCV reads it
Crops: TypeAlias = NDArray[np.uint8]  # (N, S_h, S_w, 3), BGR, C-contiguous: the engine's input
Embeddings: TypeAlias = NDArray[np.float32]  # (N, D), rows of unit length
EngineRows: TypeAlias = NDArray[np.float32]  # (N, D + 1), rows of unit length: see `edge.engine_row`
Expected: TypeAlias = NDArray[np.float32]  # (N,), the cosine that such a photo has to its own product
Similarities: TypeAlias = NDArray[np.float32]  # (N, C) or (N, K), cosine in [-1, 1]; higher is more alike


class Route(str, Enum):
    """What happens with a decision. Only ACCEPT charges a shopper without anyone looking."""

    ACCEPT = "accept"  # certified: acted on by itself
    VERIFY = "verify"  # a short list that a next view, a barcode or a weight can settle
    REVIEW = "review"  # a person looks
    UNKNOWN = "unknown"  # like nothing in the catalogue


class Reason(str, Enum):
    """Why a decision took its route: the rule that fired, named. At least one in every decision."""

    CERTIFIED = "certified"  # confidence and strangeness reach the certified cut points of the class
    BELOW_ACCEPT = "below_accept"  # P(correct) under the accept cut point of the class
    BELOW_VERIFY = "below_verify"  # P(correct) under the verify cut point of the class
    TOO_FAR = "too_far"  # sure against the others, and yet too strange to be accepted as the class
    NOT_CERTIFIED = "not_certified"  # the class has no certified accept cut point: it is never accepted
    OOD = "ood"  # stranger than the threshold at the stated false-unknown budget
    TWIN_PAIR = "twin_pair"  # the best candidate has a twin that the backbone cannot tell apart
    TOMBSTONE = "tombstone"  # the best candidate was discontinued
    TOO_SMALL = "too_small"  # crop smaller than the quality gate allows
    BLURRED = "blurred"  # crop less sharp than the quality gate allows
    FEW_LOOKS = "few_looks"  # this look passes; too few were had at this thing to accept it
    LOOKS_DISAGREE = "looks_disagree"  # this look passes; fewer than half of those at this thing did, as this product
    NOT_FINITE = "not_finite"  # the engine returned NaN, infinity or a zero vector


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of one camera.

    `number` counts the frames of the camera from 0; a gap is a dropped frame. `captured_ns` is CLOCK_MONOTONIC, for
    intervals; `captured_wall_ns` is UTC since 1970, for people. `image` may lie in a ring that the owner reuses: it is
    valid until the frame is released. `opening` counts how often the camera had been opened again before.
    """

    camera_id: str
    number: int
    image: Image
    captured_ns: int
    captured_wall_ns: int
    opening: int = 0


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle wholly inside a frame, in pixels, and what the locator calls it (slot id, `motion`, a label)."""

    x: int
    y: int
    width: int
    height: int
    label: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A product that the crop may show, with the cosine to its nearest prototype."""

    sku: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided about one crop. The best candidate is `candidates[0]`; `sku` is None where there is none.

    `confidence` is P(the best candidate is right) in [0, 1]; `ood_score` says how strange the crop is, higher is
    stranger; `verify_set` are the products that a next view, barcode or weight must choose from when route is VERIFY.
    """

    route: Route
    sku: str | None
    confidence: float
    ood_score: float
    candidates: tuple[Candidate, ...]
    verify_set: tuple[str, ...]
    reasons: tuple[Reason, ...]
