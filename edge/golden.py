"""Whether an engine computes what calibration saw: the bundle's golden crops, one at a time.

Cut points were certified on the rows of the engine that calibration ran. An engine that gives others, from a driver, a
processor or memory that errs, keeps deciding and is wrong without a word; so it is asked when it is opened, and on
schedule while it runs (`edge.selftest`).
"""

from __future__ import annotations

from edge.bundle import Bundle
from edge.errors import EngineError
from edge.ports import Engine

__all__ = ["MIN_GOLDEN_COSINE", "golden_cosine", "refuse_cosine", "refuse_other_embeddings"]

MIN_GOLDEN_COSINE = 0.99


def golden_cosine(bundle: Bundle, engine: Engine, number: int) -> float:
    """Return the cosine of golden crop `number` to its golden row, NaN and 0 for rows that are none."""
    return float(engine.embed(bundle.golden.crops[number][None])[0] @ bundle.golden.rows[number])


def refuse_cosine(bundle: Bundle, cosine: float) -> None:
    """Raise EngineError for a cosine that is too small, or NaN."""
    if not cosine >= MIN_GOLDEN_COSINE:
        found = f"a golden crop comes out with cosine {cosine:.4f} to what calibration saw"
        mend = "this processor computes something else, build and calibrate on one like it"
        raise EngineError(f"{bundle.path}: {found}, expected at least {MIN_GOLDEN_COSINE}; {mend}")


def refuse_other_embeddings(bundle: Bundle, engine: Engine) -> None:
    """Embed all golden crops, one at a time: a whole batch would hold memory that a camera may never need."""
    for number in range(len(bundle.golden.crops)):
        refuse_cosine(bundle, golden_cosine(bundle, engine, number))
