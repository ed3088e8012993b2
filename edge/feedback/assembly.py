"""The parts of feedback put together from the configuration and the bundle."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from edge.bundle import Bundle
from edge.config import FeedbackConfig
from edge.feedback.clerk import Bounds, Clerk, Parts
from edge.feedback.judge import Catalogue, Judge
from edge.feedback.ledger import Ledger
from edge.feedback.store import Store
from edge.feedback.tally import Checked
from edge.keys.door import Door

__all__ = ["catalogue_of", "clerk_of", "follow"]

ACCEPT_ERROR = 0.01  # edge-calibrate's own, for a bundle that does not say

log = logging.getLogger("edge.feedback")


def catalogue_of(bundle: Bundle) -> Catalogue:
    """Return what the rules know of a bundle. Products that were enrolled and removed again are not new."""
    tiers = {info.sku: info.tier for info in bundle.classes}
    enrolled = {change.sku for change in bundle.info.changes if change.change == "enrol"}
    promised = bundle.info.promise.get("accept_error")
    accept_error = promised if isinstance(promised, float) and 0.0 < promised < 1.0 else ACCEPT_ERROR
    return Catalogue(bundle.id, tiers, len(enrolled & tiers.keys()), accept_error)


@contextmanager
def clerk_of(
    config: FeedbackConfig,
    catalogue: Catalogue,
    device_id: str,
    clock_ns: Callable[[], int],
    door: Door | None = None,
    on_checked: Callable[[Checked], None] | None = None,
) -> Iterator[Clerk]:
    """Yield a clerk at work; raises InputError and PublishError as its parts do. `on_checked`: see `Ledger`."""
    with Store(Path(config.path), config.max_decisions) as store:
        if store.put_aside is not None:
            log.error("feedback %s was damaged; it was put aside as %s and begins anew", config.path, store.put_aside)
        parts = _parts(store, config, catalogue, device_id)
        parts.ledger.on_checked = on_checked
        clerk = Clerk(parts, config.listen, config.window_verdicts, clock_ns, door)
        del catalogue, parts  # nothing of a bundle is held here: another may take over
        with clerk:
            yield clerk


def _parts(store: Store, config: FeedbackConfig, catalogue: Catalogue, device_id: str) -> Parts:
    judge = Judge(config, catalogue)
    return Parts(store, judge, Ledger(store, judge, catalogue, device_id, config.window_verdicts))


def follow(clerk: Clerk, config: FeedbackConfig, bundle: Bundle) -> None:
    """Let a clerk at work go on with another bundle, or other rules, from the next decision on."""
    catalogue = catalogue_of(bundle)
    clerk.follow(Judge(config, catalogue), catalogue, Bounds(config.window_verdicts, config.max_decisions))
