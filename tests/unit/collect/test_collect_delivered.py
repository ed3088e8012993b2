"""The rule about names: a key delivers for the device that it is listed as, and for no other."""

from __future__ import annotations

import pytest
import watch_messages
from hypothesis import given
from hypothesis import strategies as st

from edge.collect.delivered import Bearer, read, why_refused

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,15}", fullmatch=True)


@given(names, names, names)
def test_a_decision_is_taken_where_all_names_are_one(bearer: str, device_id: str, of: str) -> None:
    payload = watch_messages.decision(1, device_id=device_id, decision_id=f"{of}:e1:1")
    why = why_refused(read(payload).message, Bearer(bearer))
    assert (why is None) == (bearer == device_id == of)
    assert why is None or bearer in why


@given(names, names, names)
def test_an_event_is_taken_where_all_names_are_one(bearer: str, device_id: str, of: str) -> None:
    payload = watch_messages.event(1, f"{of}:e1:event-1", device_id=device_id)
    assert (why_refused(read(payload).message, Bearer(bearer)) is None) == (bearer == device_id == of)


@pytest.mark.parametrize(
    "other", ["Cart-7", "cart-7 ", "cart-7:x", "", "cart-70", "x" * 10_000, "cart-7\x00", "\u0441art-7"]
)
def test_what_looks_alike_is_another(other: str) -> None:
    payload = watch_messages.decision(1, device_id=other, decision_id=f"{other}:e1:1")
    why = why_refused(read(payload).message, Bearer("cart-7"))
    assert why is not None
    assert len(why) < 400


def test_who_is_on_no_list_delivers_nothing_not_even_nonsense() -> None:
    for payload in (watch_messages.decision(1), b"nonsense", watch_messages.health(1)):
        assert why_refused(read(payload).message, Bearer(None)) is not None


def test_nonsense_of_who_is_listed_is_nobodys_decision() -> None:
    for payload, why in ((b"nonsense", ""), (watch_messages.health(1), "a heartbeat, expected a decision or an event")):
        delivered = read(payload)
        assert delivered.message is None
        assert why in delivered.why
        assert why_refused(delivered.message, Bearer("cart-7")) is None
