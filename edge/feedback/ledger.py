"""What was decided, and the truth about it: decisions become things, verdicts are matched, rules asked, all committed.

One call of `take` is one transaction. Where the disk refuses it, nothing of it happened and it can be given again;
things that are on view at that moment are counted as new ones.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from edge.errors import InputError
from edge.feedback.judge import Catalogue, Judge
from edge.feedback.state import Decided, Finding, Told
from edge.feedback.store import Store, Thing
from edge.feedback.tally import Checked
from edge.feedback.wire import RESULTS, SOURCES, Answer, Verdict, decision_key
from edge.types import Route

__all__ = ["Ledger"]

OVER = 2_048  # decisions without a look at a thing, after which it is over: 16 cameras of 64 slots twice


@dataclass(slots=True)
class _OnView:
    thing: Thing
    seen: int  # the number of the decision that saw it last


class Ledger:
    """Takes decisions and verdicts into an opened store. `window` is how many verdicts close one; it may be replaced.

    `on_checked` is told, after the commit, of every thing whose truth came; a better truth later does not count again.
    """

    on_checked: Callable[[Checked], None] | None = None

    def __init__(self, store: Store, judge: Judge, catalogue: Catalogue, device_id: str, window: int) -> None:
        self._store = store
        self._judge = judge
        self._tiers = catalogue.tiers
        self._device_id = device_id
        self.window = window
        self._on_view: OrderedDict[tuple[str, str, int], _OnView] = OrderedDict()
        self._decided = 0
        self._leftover = True  # things in the store that are open and not on view
        self._checked: list[Checked] = []  # in the transaction that is open
        self._kept: tuple[bytes | None, bytes | None] = (None, None)  # the state of the rules, as committed
        self.in_window = 0
        self.results = Counter(dict.fromkeys(RESULTS, 0))

    def open(self) -> list[Told]:
        """Take the state up where it was left; return what is not published yet. Raises InputError, sqlite3.Error."""
        try:
            self._judge.restore(*self._states())
        except msgspec.MsgspecError as error:
            raise InputError(f"the feedback file holds the state of other rules ({error}); give another path") from None
        with self._store.transaction():
            self._store.name_file()
            self._keep(self._judge.begin(self._store.last_thing()))
            self.in_window = self._store.in_window()
        self._kept = self._states()
        return self._store.unpublished()

    def follow(self, judge: Judge, catalogue: Catalogue) -> list[Told]:
        """Go on with another bundle or other rules; return what they found at once. Raises sqlite3.Error, and goes on
        with those before.
        """
        judge.restore(*self._kept)
        with self._store.transaction():
            told = self._keep(judge.begin(self._store.last_thing()), judge)
        self._judge, self._tiers = judge, catalogue.tiers
        self._kept = self._states()
        return told

    def take(
        self, decided: Sequence[Decided], verdicts: Sequence[Verdict], published: Sequence[int]
    ) -> tuple[list[Answer], list[Told]]:
        """Commit all; return an answer to every verdict and what the rules found. Raises sqlite3.Error."""
        results: list[Answer] = []
        found: list[Finding] = []
        self._checked = []
        try:
            with self._store.transaction():
                for row in published:
                    self._store.published(row)
                self._remember(decided, found)
                results = [self._match(verdict, found) for verdict in verdicts]
                self._close_if_full(found)
                self._store.forget_oldest()
                told = self._keep(found)
                in_window = self._store.in_window()
        except BaseException:
            self._on_view.clear()
            self._leftover = True
            self._judge.restore(*self._kept)
            raise
        self._kept = self._states()
        self.in_window = in_window
        self.results.update(answer.result for answer in results)
        if self.on_checked is not None:
            for one in self._checked:
                self.on_checked(one)
        return results, told

    def finish(self) -> None:
        """Take everything on view as over."""
        self._on_view.clear()
        self._leftover = True
        self.take([], [], [])

    def _states(self) -> tuple[bytes | None, bytes | None]:
        return self._store.state("watching"), self._store.state("closed")

    def _keep(self, found: Sequence[Finding], judge: Judge | None = None) -> list[Told]:
        self._store.put_state("watching", (judge or self._judge).kept())
        return [self._store.add_event(finding) for finding in found]

    def _remember(self, decided: Sequence[Decided], found: list[Finding]) -> None:
        if self._leftover:
            for row in self._store.still_open():
                self._end(row, found)
            self._leftover = False
        changed: dict[int, Thing] = {}
        for one in decided:
            thing = self._seen(one)
            self._store.add_decision(one, thing)
            if _takes_for(thing, one):
                changed[thing.row] = thing
        for thing in changed.values():
            self._store.change_thing(thing)
        while self._on_view and next(iter(self._on_view.values())).seen <= self._decided - OVER:
            _, last = self._on_view.popitem(last=False)
            self._end(last.thing.row, found)

    def _seen(self, one: Decided) -> Thing:
        """Return the thing that a decision is about, begun where it is its first."""
        self._decided += 1
        key = (one.epoch, one.camera_id, one.track)
        if key not in self._on_view:
            self._on_view[key] = _OnView(self._store.new_thing(one), self._decided)
        on_view = self._on_view[key]
        on_view.seen = self._decided
        self._on_view.move_to_end(key)
        return on_view.thing

    def _end(self, row: int, found: list[Finding]) -> None:
        thing = self._store.end_thing(row)
        if thing is not None and row > self._judge.watching.before:
            found += self._judge.over(thing.tier, thing.sku is None)

    def _match(self, verdict: Verdict, found: list[Finding]) -> Answer:
        try:
            device_id, epoch, seq = decision_key(verdict.decision_id)
        except InputError as error:
            return Answer(decision_id=verdict.decision_id, result="malformed", why=str(error))
        if device_id != self._device_id:
            why = f"a decision of {device_id}, this is {self._device_id}"
            return Answer(decision_id=verdict.decision_id, result="unknown_decision", why=why)
        thing = self._store.find(epoch, seq)
        if thing is None:
            return Answer(decision_id=verdict.decision_id, result="unknown_decision", why="not remembered here")
        result = self._settle(thing, verdict, found)
        return Answer(decision_id=verdict.decision_id, result=result)

    def _settle(self, thing: Thing, verdict: Verdict, found: list[Finding]) -> str:
        """Write the truth about a thing where it is new or better; return a key of RESULTS."""
        if thing.truth is not None and thing.source is not None:
            if thing.truth == verdict.true_sku:
                return "again"
            if SOURCES[verdict.source] <= SOURCES[thing.source]:
                return "contradicts"
            if not self._store.counts_in_window(thing):
                return "late"
        known = verdict.true_sku in self._tiers or verdict.true_sku == thing.sku  # or was, when it was decided
        truth = verdict.true_sku if known else None
        truth_tier = self._tiers.get(verdict.true_sku, thing.tier if known else "none")
        checked = Checked(thing.accepted, thing.audited, thing.sku, thing.tier, truth, truth_tier)
        self._store.set_truth(thing, verdict.true_sku, verdict.source, checked)
        if thing.truth is not None:
            return "replaced"
        self._checked.append(checked)
        if thing.audited and thing.row > self._judge.watching.before:
            found += self._judge.audited(checked.right)
        return "taken"

    def _close_if_full(self, found: list[Finding]) -> None:
        if self._store.in_window() >= self.window:
            found += self._judge.close(*self._store.take_window())
            self._store.put_state("closed", msgspec.json.encode(self._judge.closed))


def _takes_for(thing: Thing, one: Decided) -> bool:
    """Let a thing be what its first `accept` says, before that what its last look does; say whether that changed it."""
    if thing.accepted:
        return False
    now = Thing.of(thing.row, one)
    same = (now.accepted, now.sku, now.confidence) == (thing.accepted, thing.sku, thing.confidence)
    thing.accepted, thing.audited, thing.sku, thing.tier = now.accepted, now.audited, now.sku, now.tier
    thing.confidence = now.confidence
    return not same or one.route is Route.ACCEPT
