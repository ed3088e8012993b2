"""What an outbox delivered: one payload, what stands in it, and whether whoever brought it may speak so.

The rule: a key delivers for the device that it is listed as, and for no other. A message says its device twice, in
`device_id` and at the head of the id of its decision or event; neither may be somebody else. Without keys nobody is
known, so everybody is believed.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge import messages
from edge.errors import InputError
from edge.messages import DecisionMessage, EventMessage

__all__ = ["Bearer", "Delivered", "read", "why_refused"]

_SHOWN = 64  # characters of a device's name, which may be anything here


@dataclass(frozen=True, slots=True)
class Delivered:
    """A payload as it came with the decision or event in it; None where it is neither, and then `why` says so."""

    payload: bytes
    message: DecisionMessage | EventMessage | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Bearer:
    """Who brought it: `name` as the list has it now, None where the key is not on it any more."""

    name: str | None


def read(payload: bytes) -> Delivered:
    """Return what stands in a payload."""
    try:
        message = messages.decode(payload)
    except InputError as error:
        return Delivered(payload, None, str(error))
    if isinstance(message, messages.HealthMessage):
        return Delivered(payload, None, "a heartbeat, expected a decision or an event")
    return Delivered(payload, message)


def why_refused(message: DecisionMessage | EventMessage | None, bearer: Bearer) -> str | None:
    """Return why nothing of this is taken from whoever brought it, None where it is."""
    if bearer.name is None:
        return "it takes nothing from this key, which is not on its list any more; edge-keys allow, over there"
    if message is None:  # it says nothing about anybody
        return None
    own = message.decision_id if isinstance(message, DecisionMessage) else message.event_id
    others = [name for name in (message.device_id, own.partition(":")[0]) if name != bearer.name]
    if not others:
        return None
    rule = "device_id has to be the name that its list has for the key (edge-keys allow --name, over there)"
    return f"it takes nothing of device {others[0][:_SHOWN]} from the key that it knows as {bearer.name}; {rule}"
