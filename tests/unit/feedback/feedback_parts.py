"""A ledger over a real file, and things to put into it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge.config import FeedbackConfig
from edge.feedback.judge import Catalogue, Judge
from edge.feedback.ledger import Ledger
from edge.feedback.state import Decided
from edge.feedback.store import Store
from edge.feedback.wire import Verdict
from edge.types import Route

DEVICE, EPOCH = "cart-7", "epoch1"
SKUS = tuple(f"sku-{number}" for number in range(10))


def catalogue(new: int = 0, bundle_id: str = "b1", accept_error: float = 0.01) -> Catalogue:
    tiers = {sku: "tail" if number < 5 else "head" for number, sku in enumerate(SKUS)}
    return Catalogue(bundle_id, tiers, new, accept_error)


def decided(seq: int, route: Route = Route.ACCEPT, sku: str | None = "sku-1", **more: object) -> Decided:
    """Return a decision about a track of its own, unless `track` says otherwise."""
    tier = catalogue().tiers.get(sku or "", "none")
    track, audited, confidence = more.get("track", seq), more.get("audited", False), more.get("confidence", 0.9)
    return Decided(str(more.get("epoch", EPOCH)), seq, "basket", track, route, sku, tier, confidence, audited)


def verdict(seq: int, true_sku: str = "sku-1", source: str = "barcode") -> Verdict:
    return Verdict(decision_id=f"{DEVICE}:{EPOCH}:{seq}", true_sku=true_sku, source=source)


@contextmanager
def opened(path: Path, config: FeedbackConfig | None = None, of: Catalogue | None = None) -> Iterator[Ledger]:
    config, of = config or FeedbackConfig(path=str(path)), of or catalogue()
    with Store(path, config.max_decisions) as store:
        ledger = Ledger(store, Judge(config, of), of, DEVICE, config.window_verdicts)
        ledger.open()
        yield ledger


def results(ledger: Ledger, *verdicts: Verdict) -> list[str]:
    return [answer.result for answer in ledger.take([], verdicts, [])[0]]
