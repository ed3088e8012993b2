"""The configuration of feedback: what is refused, and what the rules learn from a bundle."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec
import pytest
import samples

from edge.bundle import Change, read_bundle
from edge.config import load_daemon_config
from edge.errors import ConfigError
from edge.feedback.assembly import catalogue_of


def written(tmp_path: Path, feedback: str) -> Path:
    path = tmp_path / "cart.yaml"
    path.write_text(
        "device_id: cart-7\nbundle: b\ncameras: [{id: basket, source: clip.avi}]\n"
        f"publish: {{decisions: 'tcp://127.0.0.1:5556'}}\nfeedback: {feedback}\n"
    )
    return path


def test_a_path_is_enough_and_null_switches_a_rule_off(tmp_path: Path) -> None:
    feedback = load_daemon_config(written(tmp_path, "{path: f.sqlite}")).feedback
    assert feedback is not None
    assert feedback.accuracy is not None
    assert feedback.audit_share == 0.01
    off = load_daemon_config(written(tmp_path, "{path: f.sqlite, accuracy: null, new_products: null}")).feedback
    assert off is not None
    assert (off.accuracy, off.new_products) == (None, None)


@pytest.mark.parametrize(
    ("feedback", "told"),
    [
        ("{}", r"path"),
        ("{path: f, listen: 'tcp://0.0.0.0:5562'}", r"feedback\.listen.*reaches beyond this machine.*insecure: true"),
        ("{path: f, listen: 'tcp://127.0.0.1:0'}", r"feedback\.listen.*port 0, expected 1 to 65535"),
        ("{path: f, audit_share: 1.5}", r"audit_share"),
        ("{path: f, window_verdicts: 1}", r"window_verdicts"),
        ("{path: f, accuracy: {charge: 0.9}}", r"charge"),
        ("{path: f, accuracy: {tiers: {tall: {charged: 0.9}}}}", r"tall"),
        ("{path: f, accuracy: {tiers: {tail: {charged: 9}}}}", r"charged"),
    ],
)
def test_what_cannot_be_is_refused_by_key(tmp_path: Path, feedback: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        load_daemon_config(written(tmp_path, feedback))


def test_insecure_is_a_persons_word(tmp_path: Path) -> None:
    path = written(tmp_path, "{path: f, listen: 'tcp://0.0.0.0:5562', insecure: true}")
    assert load_daemon_config(path).feedback is not None


def test_the_bundle_says_what_is_new_and_what_was_promised(tmp_path: Path) -> None:
    bundle = read_bundle(samples.write_sample_bundle(tmp_path / "bundle"))
    changes = (
        Change(change="enrol", sku="sku-001", date="2026-11-01"),
        Change(change="enrol", sku="gone", date="2026-11-01"),
        Change(change="remove", sku="gone", date="2026-11-02"),
        Change(change="retire", sku="sku-002", date="2026-11-02"),
    )
    info = msgspec.structs.replace(bundle.info, promise={"accept_error": 0.02}, changes=changes)
    catalogue = catalogue_of(dataclasses.replace(bundle, info=info))
    assert (catalogue.new, catalogue.accept_error, len(catalogue.tiers)) == (1, 0.02, 6)
    assert catalogue_of(bundle).bundle_id == bundle.id
