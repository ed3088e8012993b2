"""The wire format: a round trip in both forms, old messages still decode, rubbish is a typed error."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge import messages, schemas
from edge.errors import InputError

GOLDEN = Path(__file__).with_name("decision-schema-1.json")

text = st.text(max_size=12)
finite = st.floats(allow_nan=False, allow_infinity=False, width=32)
decisions = st.builds(
    messages.DecisionMessage,
    schema=st.just(messages.SCHEMA),
    decision_id=text,
    device_id=text,
    epoch=text,
    seq=st.integers(0, 2**53),
    bundle_id=text,
    camera_id=text,
    frame=st.integers(0, 2**53),
    captured_monotonic_ns=st.integers(0, 2**62),
    captured_utc=text,
    region=st.builds(
        messages.Region, x=st.integers(0, 4000), y=st.just(1), width=st.just(2), height=st.just(3), label=text
    ),
    route=st.sampled_from(["accept", "verify", "review", "unknown"]),
    sku=st.none() | text,
    name=st.none() | text,
    confidence=st.floats(0, 1),
    ood_score=finite,
    candidates=st.lists(st.builds(messages.Candidate, sku=text, similarity=finite), max_size=5).map(tuple),
    verify_set=st.lists(text, max_size=5).map(tuple),
    reasons=st.lists(text, max_size=3).map(tuple),
    latency_ms=finite,
)


@given(decisions, st.sampled_from(["json", "msgpack"]))
def test_round_trip(message: messages.DecisionMessage, form: str) -> None:
    assert messages.decode(messages.encode(message, form)) == message


share = messages.Share(value=0.9, low=0.8, high=0.95, right=9, checked=10)
row = messages.AccuracyRow(
    scale="tier", name="head", charged=share, asked=None, weighted=share, estimated=0.97, things=40
)
low = messages.LowAccuracy(
    question="asked",
    scale="product",
    name="sku-1",
    right_before=1,
    checked_before=20,
    right=2,
    checked=20,
    threshold=0.5,
    p_value=1e-4,
)
event = messages.EventMessage(
    schema=messages.SCHEMA,
    event_id="cart-7:f:1",
    device_id="cart-7",
    epoch="e",
    seq=3,
    bundle_id="b",
    event="low_accuracy",
    summary="sku-1 is low",
    evidence={"found": 1, "tier": "head", "stake": 20.5},
    low=(low,),
)


@pytest.mark.parametrize("form", ["json", "msgpack"])
def test_an_event_and_its_evidence_make_the_round_trip(form: str) -> None:
    assert messages.decode(messages.encode(event, form)) == event
    assert msgspec.json.decode(msgspec.json.encode(row), type=messages.AccuracyRow) == row


def test_every_topic_stands_in_the_consumers_guide() -> None:
    guide = (Path(__file__).parents[3] / "deploy" / "examples" / "README.md").read_text()
    for topic in messages.TOPICS:
        assert f"| `{topic}" in guide


def test_a_stored_message_of_schema_1_still_decodes() -> None:
    message = messages.decode(GOLDEN.read_bytes())
    assert isinstance(message, messages.DecisionMessage)
    assert (message.route, message.sku, message.seq) == ("verify", "sku-000012", 42)
    assert message.verify_set == ("sku-000012", "sku-000013")


def test_a_newer_publisher_may_add_fields_and_may_not_change_the_schema() -> None:
    stored = json.loads(GOLDEN.read_bytes())
    messages.decode(json.dumps({**stored, "brand_new": 1}).encode())
    with pytest.raises(InputError, match="schema 2, expected 1"):
        messages.decode(json.dumps({**stored, "schema": 2}).encode())


@pytest.mark.parametrize("confidence", ["NaN", "1.5", "-0.1", '"high"'])
def test_a_confidence_that_is_none_is_refused(confidence: str) -> None:
    stored = GOLDEN.read_text().replace('"confidence": 0.62', f'"confidence": {confidence}')
    assert stored != GOLDEN.read_text()
    with pytest.raises(InputError):
        messages.decode(stored.encode())


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=200) | st.binary(max_size=50).map(lambda b: b"{" + b))
def test_rubbish_is_a_typed_error(payload: bytes) -> None:
    with pytest.raises(InputError):
        messages.decode(payload)


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_a_mutated_message_decodes_or_is_a_typed_error(data: st.DataObject) -> None:
    raw = bytearray(
        messages.encode(messages.decode(GOLDEN.read_bytes()), data.draw(st.sampled_from(["json", "msgpack"])))
    )
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        messages.decode(bytes(raw))
    except InputError as error:
        assert str(error)


def test_sequence_numbers_have_no_gaps() -> None:
    origin = messages.Origin("d", "e", "b")
    assert [origin.take_seq() for _ in range(3)] == [0, 1, 2]


@pytest.mark.parametrize("name", sorted(schemas.SCHEMAS))
def test_the_stored_json_schemas_are_current(name: str) -> None:
    stored = Path(__file__).parents[3] / "configs" / "schema" / name
    assert stored.read_text(encoding="utf-8") == schemas.text(schemas.SCHEMAS[name]()), "run make schemas"


def test_the_schema_describes_what_is_sent() -> None:
    definitions = messages.json_schema()["$defs"]
    sent = msgspec.to_builtins(messages.decode(GOLDEN.read_bytes()))
    assert set(definitions["DecisionMessage"]["required"]) <= set(sent)
