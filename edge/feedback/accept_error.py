"""Is the certified error of what is accepted still believable? A test that may be looked at after every audit. Pure.

A gambler bets against "at most `target` of the accepted things are wrong": after each audited thing the stake is
multiplied by 1 + bet * (wrong - target). If the claim holds, nobody can expect to win (the stake is a nonnegative
supermartingale), and by Ville's inequality it ever reaches 1 / `miss` with probability `miss` at most, however often
one looks and whenever one stops. Ville, Etude critique de la notion de collectif (1939); by betting: Waudby-Smith &
Ramdas, JRSS B 86 (2024).

- Several bets run side by side, for nobody knows how wrong it will be: the average of supermartingales is one.
- A fault may begin late, after a good time that would have lost the stake. So a share of it is put in only at each
  later audit, 1 / (t (t + 1)) at the t-th, which sums to 1: a mixture over when the fault begins.
- Only audited things count. A correction by a cashier comes because something was wrong and is no fair draw.
"""

from __future__ import annotations

from msgspec import Struct, field

__all__ = ["Doubt"]

BETS = (1.0, 3.0, 9.0, 27.0)  # at a target of 1 % each is under 1 / target, so that the stake stays positive
_MOST = 1e300


class Doubt(Struct):
    """The state: what was audited, and the stake of each bet. `told` from the event on, until the claim changes."""

    target: float
    checked: int = 0
    wrong: int = 0
    playing: list[float] = field(default_factory=lambda: [0.0] * len(BETS))
    told: bool = False

    @property
    def stake(self) -> float:
        """Return what the gambler has, of 1 at the start; what is not put in yet counts."""
        waiting = 1.0 / (self.checked + 1)
        return waiting + sum(self.playing) / len(BETS)

    def take(self, right: bool, miss: float) -> bool:
        """Take one audited thing; True when the claim is in doubt from now on, said once."""
        self.checked += 1
        self.wrong += not right
        put_in = 1.0 / (self.checked * (self.checked + 1))
        outcome = (0.0 if right else 1.0) - self.target
        self.playing = [
            min(_MOST, (stake + put_in) * (1.0 + _bet(bet, self.target) * outcome))
            for stake, bet in zip(self.playing, BETS, strict=True)
        ]
        doubted = not self.told and self.stake >= 1.0 / miss
        self.told = self.told or doubted
        return doubted


def _bet(bet: float, target: float) -> float:
    """Return a bet that cannot lose everything."""
    return min(bet, 0.5 / max(target, 1e-6))
