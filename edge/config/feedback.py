"""Truth that comes back, and the rules that say when to retrain."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta

from edge.config.base import Config, Endpoint, Fraction

__all__ = ["AcceptErrorRule", "AccuracyFloor", "AccuracyRule", "FeedbackConfig", "TierFloors", "UnknownRateRule"]

Levels: TypeAlias = Annotated[tuple[Annotated[float, Meta(gt=0.0, le=10.0)], ...], Meta(min_length=1, max_length=8)]


class AccuracyFloor(Config, frozen=True):
    """What a share should be at least.

    `charged`: of the audited things accepted as a product, the share that should be it. `asked`: of the things that
    were it and were not accepted, the share whose best candidate should be it.
    """

    charged: Fraction = 0.97
    asked: Fraction = 0.5


class TierFloors(Config, frozen=True):
    """Floors of tiers, by photos at calibration (`new`: enrolled since then); null: that of all."""

    tail: AccuracyFloor | None = None
    mid: AccuracyFloor | None = None
    head: AccuracyFloor | None = None
    new: AccuracyFloor | None = None


class AccuracyRule(AccuracyFloor, frozen=True):
    """Tell products and tiers whose accuracy is low in two windows on end, `false_discovery` of them wrongly at most.

    A tier under `tiers`, and every product of it, is held to its own floor: what has few photos is recognised worse.
    """

    tiers: TierFloors = TierFloors()
    false_discovery: Annotated[float, Meta(gt=0.0, le=0.5)] = 0.1


class AcceptErrorRule(Config, frozen=True):
    """Tell when audits put the certified error of what is accepted in doubt.

    Wrongly for the share `false_alarm` of bundles at most, however long they run. `target` is the share that may be
    wrong; 0 takes what the bundle promises.
    """

    target: Annotated[float, Meta(ge=0.0, le=0.5)] = 0.0
    false_alarm: Annotated[float, Meta(gt=0.0, le=0.5)] = 0.01


class UnknownRateRule(Config, frozen=True):
    """Tell when the share of things called unknown drifts in a tier (Page-Hinkley); in standard deviations."""

    tolerance: Annotated[float, Meta(ge=0.01, le=1.0)] = 0.1
    threshold: Annotated[float, Meta(ge=5.0, le=10_000.0)] = 80.0


class FeedbackConfig(Config, frozen=True):
    """What the cart learns later is taken at `listen` and kept in the SQLite file `path`.

    `audit_share` of the accepted things are marked for a person to look at. The last `max_decisions` can still be
    told about. A window is `window_verdicts` verdicts that count. A rule that is `null` is off; `new_products` are
    shares of the calibrated catalogue. `insecure` as in `publish`.
    """

    path: Annotated[str, Meta(min_length=1)]
    listen: Endpoint = "tcp://127.0.0.1:5562"
    audit_share: Fraction = 0.01
    max_decisions: Annotated[int, Meta(ge=100, le=10_000_000)] = 200_000
    window_verdicts: Annotated[int, Meta(ge=10, le=100_000)] = 1_000
    accuracy: AccuracyRule | None = AccuracyRule()
    accept_error: AcceptErrorRule | None = AcceptErrorRule()
    unknown_rate: UnknownRateRule | None = UnknownRateRule()
    new_products: Levels | None = (0.05, 0.1)
    insecure: bool = False
