"""How many layers stay in float for the sake of recognition: doubled until the gate passes, memory or half say no."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from builder.sensitivity import Group, Kept, Ranked
from builder.trial import Trial
from edge.errors import GateError


class Doubling(Trial):
    """A trial of 10 layers whose INT8 form passes with `enough` of them in float; nothing is quantised."""

    def __init__(self, enough: int, already: int = 0, quantise: Callable[[frozenset[str]], int] = len) -> None:
        prepared: Any = SimpleNamespace(
            by_engine=dict.fromkeys(("onnxruntime", "tensorrt"), quantise), measure=lambda _: lambda count: count / 10
        )
        request: Any = SimpleNamespace(load=SimpleNamespace(engine="onnxruntime"))
        progress: Any = None
        super().__init__(request, prepared, None, progress)
        groups = [Group(f"g{index}", frozenset({f"g{index}"})) for index in range(10)]
        self._ranked = Ranked(tuple((1.0 - index / 10, group) for index, group in enumerate(groups)), 0.0)
        self.enough, self.judged = enough, list[int]()
        if already:
            self.kept = Kept(layers=(), groups=10, cosine=0, cosine_without=0, nodes=())
            for _ in range(already.bit_length()):
                self.keep_more()

    def accuracy(self) -> Any:
        count = len(self.kept.layers) if self.kept is not None else 0
        self.judged.append(count)
        line = SimpleNamespace(name="all", loss=9.0, low=8.0, high=10.0, limit=0.5)
        lost = (SimpleNamespace(sku="p1", float32=9, int8=1, photos=9),)
        return SimpleNamespace(failed=() if count >= self.enough else (line,), lost_most=lost)


def _anything(_: Any) -> bool:
    return True


def test_nothing_is_kept_where_nothing_fails() -> None:
    trial = Doubling(enough=0)
    trial.until_recognised(_anything)
    assert (trial.kept, trial.judged) == (None, [0])


def test_layers_are_doubled_until_the_gate_passes() -> None:
    trial = Doubling(enough=3)
    trial.until_recognised(_anything)
    assert trial.judged == [0, 1, 2, 4]
    assert trial.kept is not None
    assert [layer.layer for layer in trial.kept.layers] == ["g0", "g1", "g2", "g3"]
    assert trial.kept.cosine == 0.4


def test_what_parity_kept_is_where_it_starts() -> None:
    trial = Doubling(enough=3, already=2)
    trial.until_recognised(_anything)
    assert trial.judged == [2, 4]


def test_half_of_the_layers_is_the_end() -> None:
    trial = Doubling(enough=6)
    with pytest.raises(GateError, match=r"with 5 of 10 layers in float: all 9\.00 points .*lost most: p1 9 -> 1 of 9"):
        trial.until_recognised(_anything)
    assert trial.judged == [0, 1, 2, 4, 5]


def test_memory_says_no_before_half() -> None:
    trial = Doubling(enough=4)
    with pytest.raises(GateError, match="with 2 of 10 layers in float, and with more in float it does not fit"):
        trial.until_recognised(lambda graph: int(graph) <= 2)
    assert trial.kept is not None
    assert len(trial.kept.layers) == 2


def test_a_graph_is_made_once_for_the_layers_that_are_kept() -> None:
    made = list[int]()

    def quantise(nodes: frozenset[str]) -> int:
        made.append(len(nodes))
        return len(nodes)

    trial = Doubling(enough=0, quantise=quantise)
    for _ in range(3):
        found: list[Any] = [trial.graph(), trial.graph("onnxruntime"), trial.graph("tensorrt")]
        assert found == [0, 0, 0]
    assert made == [0, 0]
    trial.keep_more()  # which measures what it keeps
    made.clear()
    found = [trial.graph(), trial.graph()]
    assert found == [1, 1]
    assert made == [1]
