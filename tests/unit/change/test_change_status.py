"""Products taken off sale, put back and taken out, end to end with the device's decisions; and what is recorded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from change_worlds import arrays, entry, judged, memory_bundle, new_info, shots
from hypothesis import given
from hypothesis import strategies as st

from calibration.change.products import NEW, bundle_of, entries_of, near_pair, settled
from calibration.change.record import MAX_CHANGES, net_changes, recorded
from calibration.change.status import reinstated, removed, retired, status_of
from edge.bundle import Bundle, Change
from edge.errors import InputError
from edge.types import Reason, Route

DATE = "2026-11-24"


def step(bundle: Bundle, change: str, sku: str, **more: str) -> Bundle:
    changed = {"retire": retired(bundle, sku, more.get("successor", "")) if change == "retire" else bundle}
    changed["reinstate"] = reinstated(bundle, sku) if change == "reinstate" else bundle
    changed["remove"] = removed(bundle, sku) if change == "remove" else bundle
    return recorded(bundle, changed[change], Change(change=change, sku=sku, date=DATE, **more))


def test_a_tombstone_goes_to_a_person_with_the_successor_named() -> None:
    bundle = memory_bundle(6)
    photo = shots(3, 9)[-1:]
    assert judged(bundle, photo)[0].route is Route.ACCEPT
    decision = judged(retired(bundle, "sku-003", "sku-005"), photo)[0]
    assert (decision.route, decision.reasons, decision.sku) == (Route.REVIEW, (Reason.TOMBSTONE,), "sku-003")
    assert decision.verify_set == ("sku-003", "sku-005")
    alone = judged(retired(bundle, "sku-003", ""), photo)[0]
    assert (alone.route, alone.verify_set) == (Route.REVIEW, ("sku-003",))


def test_a_tombstone_keeps_its_pictures_from_everyone_else() -> None:
    bundle = memory_bundle(6)
    queries = np.concatenate([shots(number, 6, 0.8) for number in range(8)])
    changed = retired(bundle, "sku-003", "sku-005")
    for before, after in zip(judged(bundle, queries), judged(changed, queries), strict=True):
        assert after.sku == before.sku
        assert after == before or before.sku == "sku-003"


@given(st.sampled_from(["sku-000", "sku-003", "sku-005"]), st.sampled_from(["", "sku-004"]))
def test_reinstating_undoes_a_retirement(sku: str, successor: str) -> None:
    bundle = memory_bundle(6)
    back = step(step(bundle, "retire", sku, successor=successor, was="active"), "reinstate", sku)
    assert arrays(back) == arrays(bundle)


def test_a_product_retired_at_calibration_is_reinstated_as_active() -> None:
    bundle = reinstated(memory_bundle(6), "sku-002")
    assert status_of(bundle, "sku-002") == "active"
    assert bundle.rules.cuts.successor[2] == -1


def crowded(count: int) -> Bundle:
    """Return a bundle whose products 0 and 1 have each other as a near neighbour, the others none; without twins."""
    bundle = memory_bundle(count)
    cuts = replace(bundle.rules.cuts, isolated_below=0.8, twin=np.full(count, -1, np.int32))
    return replace(bundle, rules=replace(bundle.rules, cuts=cuts))


def test_who_stands_alone_after_a_removal_takes_the_strictest_cut_points() -> None:
    bundle = crowded(6)
    cuts = removed(bundle, "sku-001").rules.cuts
    assert cuts.source[0] == "isolated"
    assert cuts.accept_confidence[0] == bundle.rules.cuts.accept_confidence.max()
    assert cuts.accept_strangeness[0] == bundle.rules.cuts.accept_strangeness.min()
    assert cuts.strict_confidence[0] == bundle.rules.cuts.strict_confidence.max()
    assert cuts.strict_strangeness[0] == bundle.rules.cuts.strict_strangeness.min()
    others = removed(memory_bundle(6), "sku-001").rules.cuts
    assert cuts.accept_confidence[1:].tolist() == others.accept_confidence[1:].tolist()
    assert cuts.source[1:] == others.source[1:]


def test_who_was_a_twin_at_calibration_is_not_accepted_when_the_other_is_removed() -> None:
    bundle = memory_bundle(6)
    assert bundle.rules.cuts.accept_confidence[1] <= 1.0, "a cut point that was never reached: its twin forbade it"
    changed = removed(bundle, "sku-000")
    cuts = changed.rules.cuts
    assert (cuts.twin[0], cuts.source[0]) == (-1, "none")
    assert (cuts.accept_confidence[0], cuts.strict_confidence[0]) == (np.inf, np.inf)
    assert (cuts.accept_strangeness[0], cuts.strict_strangeness[0]) == (-np.inf, -np.inf)
    assert all(decision.route is not Route.ACCEPT for decision in judged(changed, shots(1, 20, 0.05)))
    assert cuts.accept_confidence[1:].tolist() == bundle.rules.cuts.accept_confidence[2:].tolist()


def test_who_was_a_twin_by_enrolment_alone_is_accepted_as_before() -> None:
    bundle = memory_bundle(6)
    both = {**entries_of(bundle), "sku-900": entry("sku-900", 900)}
    near = (near_pair("sku-003", "sku-900", 0.9),)
    paired = bundle_of(bundle, settled(both, near), near)
    assert entries_of(paired)["sku-003"].twin == "sku-900"
    assert arrays(removed(paired, "sku-900")) == arrays(bundle)


def test_a_removal_lets_nobody_be_accepted_by_a_degraded_device_who_was_not() -> None:
    bundle = crowded(6)
    cuts = bundle.rules.cuts
    confidence, strangeness = cuts.strict_confidence.copy(), cuts.strict_strangeness.copy()
    confidence[0], strangeness[0] = np.inf, -np.inf  # its group has nothing certified for stricter limits
    cuts = replace(cuts, strict_confidence=confidence, strict_strangeness=strangeness)
    bundle = replace(bundle, rules=replace(bundle.rules, cuts=cuts))
    found = removed(bundle, "sku-001").rules.cuts
    assert found.source[0] == "isolated"
    assert found.accept_confidence[0] == cuts.accept_confidence.max()
    assert (found.strict_confidence[0], found.strict_strangeness[0]) == (np.inf, -np.inf)


def test_who_was_never_accepted_is_not_after_a_removal_either() -> None:
    bundle = crowded(6)
    confidence = bundle.rules.cuts.accept_confidence.copy()
    confidence[0] = np.inf
    cuts = replace(bundle.rules.cuts, accept_confidence=confidence)
    bundle = replace(bundle, rules=replace(bundle.rules, cuts=cuts))
    assert removed(bundle, "sku-001").rules.cuts.accept_confidence[0] == np.inf


@given(st.permutations(["sku-001", "sku-003", "sku-900"]))
def test_a_product_enrolled_beside_another_leaves_no_trace_in_any_order(order: list[str]) -> None:
    """sku-900 lies where sku-001 does: it must neither hide that sku-000 stands alone nor make it seem so."""
    bundle = crowded(6)
    beside = replace(entries_of(bundle)["sku-001"], info=new_info("sku-900"), source=NEW, twin="")
    changed = bundle_of(bundle, {**entries_of(bundle), "sku-900": beside}, bundle.info.near)
    never = bundle
    for sku in order:
        changed = removed(changed, sku)
        never = removed(never, sku) if sku != "sku-900" else never
    assert arrays(changed) == arrays(never)


def test_a_successor_can_be_changed_or_taken_back() -> None:
    bundle = retired(memory_bundle(6), "sku-003", "sku-004")
    assert retired(bundle, "sku-003", "sku-005").rules.cuts.successor[3] == 5
    assert retired(bundle, "sku-003", "").rules.cuts.successor[3] == -1


def test_who_is_removed_is_named_by_nobody() -> None:
    bundle = removed(removed(memory_bundle(6), "sku-004"), "sku-001")
    assert [info.sku for info in bundle.classes] == ["sku-000", "sku-002", "sku-003", "sku-005"]
    assert bundle.rules.cuts.successor.tolist() == [-1] * 4
    assert bundle.rules.cuts.twin.tolist() == [-1] * 4
    assert "sku-001" not in {c.sku for d in judged(bundle, shots(1, 5)) for c in d.candidates}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda b: retired(b, "sku-9", ""), "no product 'sku-9'"),
        (lambda b: retired(b, "sku-003", "sku-9"), "no product 'sku-9'"),
        (lambda b: retired(b, "sku-003", "sku-003"), "its own successor"),
        (lambda b: retired(b, "sku-003", "sku-002"), "is discontinued itself"),
        (lambda b: retired(b, "sku-002", "sku-004"), "is discontinued already, with the successor sku-004"),
        (lambda b: reinstated(b, "sku-003"), "is active"),
        (lambda b: removed(b, "sku-9"), "no product 'sku-9'"),
        (lambda _: removed(memory_bundle(1), "sku-000"), "the only product"),
    ],
)
def test_what_cannot_be_is_refused(change, said: str) -> None:  # a table of calls
    with pytest.raises(InputError, match=said):
        change(memory_bundle(6))


def test_the_record_names_the_parent_the_change_and_what_it_came_to() -> None:
    bundle = memory_bundle(6)
    changed = step(step(bundle, "retire", "sku-003", was="active"), "remove", "sku-004")
    assert changed.info.parent == bundle.id
    assert [(c.change, c.sku) for c in changed.info.changes] == [("retire", "sku-003"), ("remove", "sku-004")]
    found = {"enrolled": [], "retired": ["sku-003"], "reinstated": [], "removed": ["sku-004"]}
    assert changed.info.promise["changes"] == found
    assert changed.info.promise["products_covered"] == 6  # the certified mix is what it was


def test_net_changes() -> None:
    def net(*steps: str) -> dict[str, list[str]]:
        changes = [Change(change=one.split()[0], sku=one.split()[1], date=DATE) for one in steps]
        return {name: skus for name, skus in net_changes(changes).items() if skus}

    assert net("enrol a", "remove a") == {}
    assert net("retire a", "reinstate a") == {}
    assert net("reinstate a", "retire a") == {}
    assert net("retire a", "remove a") == {"removed": ["a"]}
    assert net("enrol a", "retire a", "remove a") == {}
    assert net("remove a", "enrol a") == {"enrolled": ["a"], "removed": ["a"]}
    assert net("remove a", "enrol a", "remove a") == {"removed": ["a"]}
    assert net("enrol b", "enrol a", "retire c", "retire c") == {"enrolled": ["a", "b"], "retired": ["c"]}


def test_a_bundle_is_not_changed_for_ever() -> None:
    bundle = memory_bundle(6)
    change = Change(change="retire", sku="sku-003", date=DATE)
    for _ in range(2):
        bundle = recorded(bundle, bundle, change)
    full = bundle.info.__class__(
        **{name: getattr(bundle.info, name) for name in bundle.info.__struct_fields__ if name != "changes"},
        changes=(change,) * MAX_CHANGES,
    )
    with pytest.raises(InputError, match="run edge-calibrate again"):
        recorded(type(bundle)(**{**fields_of(bundle), "info": full}), bundle, change)


def fields_of(bundle: Bundle) -> dict[str, object]:
    return {name: getattr(bundle, name) for name in bundle.__dataclass_fields__}
