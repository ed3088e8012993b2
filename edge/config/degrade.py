"""When a device in trouble does less: the marks of each axis of the ladder."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta

from edge.config.base import Config

__all__ = ["DegradeConfig"]

Three: TypeAlias = Annotated[
    tuple[float, float, float], Meta(description="[relaxed, a step down, all steps down], rising or falling")
]


class DegradeConfig(Config, frozen=True):
    """Three marks for each axis (`edge.degrade.ladder`): at the first the device is relaxed, at the second it takes a
    step down, at the third all of them. Below the whole it accepts at the stricter cut points of the bundle.

    `memory` is the share of the system's memory that is still available. `own_memory` is the share taken of
    `memory_limit_mib`, or where that is 0 of the control group's limit. `temperature_c` is that of the hottest zone,
    `queue` the least age of live cameras' frames as their turn comes, in units of `max_age_ms`, `disk_mib` what is free
    where decisions are kept. `power_mode` is what `nvpmodel -q` should name; "" does not ask. `calm_s` is how long all
    axes must be relaxed for a step back. `smaller` is a bundle of the same products on a smaller engine, which decides
    on the last step; "": there is none.
    """

    memory: Three = (0.15, 0.08, 0.04)
    own_memory: Three = (0.85, 0.92, 0.97)
    memory_limit_mib: Annotated[int, Meta(ge=0, le=1 << 20)] = 0
    temperature_c: Three = (78.0, 86.0, 94.0)
    queue: Three = (0.3, 0.6, 1.0)
    disk_mib: Three = (1024.0, 256.0, 64.0)
    power_mode: str = ""
    calm_s: Annotated[float, Meta(gt=0, le=86_400)] = 30.0
    smaller: str = ""
