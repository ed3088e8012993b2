"""Decisions become things and verdicts are matched, on a real file: once each, bounded, through kill -9 and damage."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from feedback_parts import EPOCH, catalogue, decided, opened, results, verdict

from edge.config import AcceptErrorRule, AccuracyRule, FeedbackConfig
from edge.errors import InputError, PublishError
from edge.feedback.judge import Catalogue, Judge
from edge.feedback.state import Decided
from edge.feedback.store import Store
from edge.feedback.tally import Checked
from edge.feedback.wire import Verdict
from edge.types import Route


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "feedback.sqlite"


def window_of(path: Path) -> list[Checked]:
    with Store(path, 1000) as store, store.transaction():
        return store.take_window()[0]


def test_every_verdict_has_a_result(path: Path) -> None:
    with opened(path) as ledger:
        ledger.take([decided(1, Route.VERIFY), decided(2, Route.VERIFY)], [], [])
        assert results(ledger, verdict(1)) == ["taken"]
        assert results(ledger, verdict(1), verdict(1, source="reviewer")) == ["again", "again"]
        assert results(ledger, verdict(1, "sku-2")) == ["contradicts"]
        assert results(ledger, verdict(1, "sku-2", "weight")) == ["contradicts"]
        assert results(ledger, verdict(1, "sku-2", "cashier")) == ["replaced"]
        assert results(ledger, verdict(9)) == ["unknown_decision"]
        other = Verdict(decision_id=f"cart-8:{EPOCH}:1", true_sku="sku-1", source="barcode")
        assert results(ledger, other) == ["unknown_decision"]
        for wrong in ("", "cart-7", "cart-7::", "cart-7:e:-1", "cart-7:e:²", "cart-7:e:99999999999999999999"):
            assert results(ledger, Verdict(decision_id=wrong, true_sku="x", source="barcode")) == ["malformed"]
        assert ledger.results["malformed"] == 6
        assert ledger.in_window == 1
    assert [checked.truth for checked in window_of(path)] == ["sku-2"]


def test_looks_at_one_thing_are_one_trial(path: Path) -> None:
    looks = [decided(seq, Route.VERIFY if seq < 3 else Route.ACCEPT, track=5, audited=seq == 3) for seq in range(40)]
    with opened(path) as ledger:
        ledger.take(looks, [], [])
        assert results(ledger, verdict(2), verdict(30)) == ["taken", "again"]
    assert window_of(path) == [Checked(True, True, "sku-1", "tail", "sku-1", "tail")]


def test_a_verdict_before_the_accept_does_not_count_the_thing_as_asked(path: Path) -> None:
    with opened(path) as ledger:
        ledger.take([decided(0, Route.VERIFY, track=5)], [verdict(0)], [])
        assert ledger.in_window == 1
        ledger.take([decided(1, track=5)], [], [])
        assert ledger.in_window == 0, "accepted and not audited: told, and of no fair draw"
    assert [checked.accepted for checked in window_of(path)] == [True]


def test_what_is_in_no_catalogue_is_rightly_unknown(path: Path) -> None:
    with opened(path) as ledger:
        ledger.take([decided(seq, Route.UNKNOWN) for seq in (1, 2, 3)] + [decided(4, Route.REVIEW, None)], [], [])
        told = [verdict(1, "unknown"), verdict(2, "brand-new"), verdict(3, "sku-1"), verdict(4, "unknown")]
        assert results(ledger, *told) == ["taken"] * 4
    assert [checked.right for checked in window_of(path)] == [True, True, False, False]


def test_the_memory_is_bounded_and_the_oldest_go_first(path: Path) -> None:
    with opened(path, FeedbackConfig(path=str(path), max_decisions=100)) as ledger:
        for start in range(0, 6000, 500):
            ledger.take([decided(seq) for seq in range(start, start + 500)], [], [])
        assert results(ledger, verdict(5899), verdict(5900), verdict(5999)) == ["unknown_decision", "taken", "taken"]
        ledger.finish()
        assert ledger._store.still_open() == []
        ledger.take([decided(6000 + seq) for seq in range(200)], [], [])
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT count(*) FROM decisions").fetchone() == (100,)
        assert database.execute("SELECT count(*) FROM things WHERE NOT open").fetchone() == (0,)
        assert database.execute("SELECT count(*) FROM things").fetchone() == (200,), "on view, 100 of them nameless"


def test_a_late_correction_changes_no_closed_window(path: Path) -> None:
    with opened(path, FeedbackConfig(path=str(path), window_verdicts=10)) as ledger:
        ledger.take([decided(seq, Route.VERIFY) for seq in range(20)], [verdict(seq) for seq in range(10)], [])
        assert ledger.in_window == 0
        assert results(ledger, verdict(3, "sku-2", "reviewer")) == ["late"]
        assert results(ledger, verdict(3, "sku-1", "reviewer")) == ["again"]


def test_low_accuracy_is_told_once_with_its_evidence_and_again_after_it_was_well(path: Path) -> None:
    config = FeedbackConfig(path=str(path), window_verdicts=50, accuracy=AccuracyRule(), accept_error=None)
    kinds: list[list[str]] = []
    for start, right in ((0, 5), (50, 5), (100, 5), (150, 50), (200, 5), (250, 5)):
        with opened(path, config) as ledger:  # a start of its own for every window
            ledger.take([decided(start + seq, Route.VERIFY) for seq in range(50)], [], [])
            truths = [verdict(start + seq, "sku-1" if seq < right else "sku-2") for seq in range(50)]
            told = ledger.take([], truths, [])[1]
            kinds.append([one.finding.event for one in told])
    low = ["low_accuracy"]
    assert kinds == [[], low, [], [], [], low]
    finding = told[0].finding
    worst = finding.low[0]
    assert (worst.question, worst.scale, worst.checked, worst.right) == ("asked", "product", 45, 0)
    assert worst.name == "sku-2"
    assert finding.evidence["found"] == len(finding.low)
    assert "sku-2 (asked): 0 of 45, then 0 of 45 right, under 50% in two windows" in finding.summary


def test_the_certified_error_comes_in_doubt_by_audits_alone_and_a_new_bundle_begins_anew(path: Path) -> None:
    config = FeedbackConfig(path=str(path), accept_error=AcceptErrorRule(false_alarm=0.05))
    with opened(path, config) as ledger:
        ledger.take([decided(seq) for seq in range(100)], [verdict(seq, "sku-2", "cashier") for seq in range(100)], [])
        audits = [decided(100 + seq, audited=True) for seq in range(8)]
        told = ledger.take(audits, [verdict(100 + seq, "sku-2") for seq in range(8)], [])[1]
    assert [one.finding.event for one in told] == ["accept_error_in_doubt"]
    evidence = told[0].finding.evidence
    assert float(evidence["stake"]) >= 20
    assert evidence["wrong"] == evidence["checked"]
    with opened(path, config, catalogue(bundle_id="b2")) as ledger:
        ledger.take([decided(300, audited=True)], [verdict(300, "sku-2")], [])
        doubt = ledger._judge.watching.doubt
        assert doubt is not None
        assert (doubt.checked, doubt.told) == (1, False)


def test_growth_is_told_once_for_a_bundle_and_level(path: Path) -> None:
    told = []
    for new, bundle_id in ((0, "b1"), (1, "b2"), (1, "b2"), (2, "b3")):
        with opened(path, of=catalogue(new, bundle_id)) as ledger:
            told.append([(one.row, one.finding.summary) for one in ledger._store.unpublished()])
            ledger.take([], [], [row for row, _ in told[-1]])
    assert [len(events) for events in told] == [0, 1, 0, 1]
    assert told[1][0][1] == "1 products came after the calibration of 9: 10% is reached"


def test_drift_of_the_unknown_rate_is_told_by_tier(path: Path) -> None:
    with opened(path) as ledger:
        told = []
        for start in range(0, 8000, 1000):
            route = Route.UNKNOWN if start >= 4000 else Route.ACCEPT
            told += ledger.take([decided(start + seq, route) for seq in range(1000)], [], [])[1]
    assert told[0].finding.event == "unknown_rate_drifts"
    assert told[0].finding.evidence["tier"] == "tail"
    assert told[0].finding.evidence["direction"] == "up"


def test_a_rule_that_is_null_is_off(path: Path) -> None:
    off = FeedbackConfig(
        path=str(path), window_verdicts=10, accuracy=None, accept_error=None, unknown_rate=None, new_products=None
    )
    with opened(path, off, catalogue(new=5)) as ledger:
        assert ledger._store.unpublished() == []
        for start in range(0, 3000, 100):
            seqs = range(start, start + 100)
            batch = [decided(seq, Route.UNKNOWN if start > 1500 else Route.ACCEPT, audited=True) for seq in seqs]
            assert ledger.take(batch, [verdict(seq, "sku-2") for seq in seqs], [])[1] == []


def test_a_disk_that_refuses_changes_nothing_and_the_same_can_be_given_again(path: Path) -> None:
    with opened(path) as ledger:
        database = ledger._store._opened()
        ledger.take([decided(1, audited=True)], [], [])
        pages = database.execute("PRAGMA page_count").fetchone()[0]
        database.execute(f"PRAGMA max_page_count={pages}")
        batch = [decided(seq, audited=True) for seq in range(2, 3000)]
        with pytest.raises(sqlite3.OperationalError, match="full"):
            ledger.take(batch, [verdict(1, "sku-2")], [])
        doubt = ledger._judge.watching.doubt
        assert doubt is not None
        assert doubt.checked == 0, "a rule does not know what was not committed"
        database.execute("PRAGMA max_page_count=1000000")
        answers, _ = ledger.take(batch, [verdict(1, "sku-2"), verdict(2999)], [])
        assert [answer.result for answer in answers] == ["taken", "taken"]
        assert ledger._store.remembered() == 2999


def test_no_verdict_is_taken_into_a_file_that_was_deleted(path: Path) -> None:
    with opened(path) as ledger:
        ledger.take([decided(1, Route.VERIFY)], [], [])
        path.unlink()
        with pytest.raises(sqlite3.OperationalError, match="moved or deleted while it was in use"):
            ledger.take([], [verdict(1)], [])
        assert ledger.results["taken"] == 0


def test_a_damaged_file_is_put_aside_and_another_programs_refused(path: Path) -> None:
    with opened(path) as ledger:
        ledger.take([decided(seq) for seq in range(500)], [], [])
    content = bytearray(path.read_bytes())
    content[4096:40_000] = os.urandom(len(content[4096:40_000]))
    path.write_bytes(content)
    with Store(path, 100) as store:
        assert store.put_aside == path.with_name("feedback.sqlite.damaged-1")
        assert store.remembered() == 0
    foreign = path.with_name("foreign.sqlite")
    with sqlite3.connect(foreign) as database:
        database.execute("CREATE TABLE mine (x)")
    database.close()
    with pytest.raises(InputError, match=r"is another program's database, expected a feedback file of schema 1"):
        Store(foreign, 100).__enter__()
    with Store(path, 100), pytest.raises(PublishError, match="another process uses it"):
        Store(path, 100).__enter__()


KEEPS_TAKING = """
import sys
from pathlib import Path
from feedback_parts import decided, opened, verdict
with opened(Path(sys.argv[1])) as ledger:
    first = ledger._store.remembered()
    for seq in range(first, 10**9):
        assert ledger.take([decided(seq, audited=True)], [verdict(seq)], [])[0][0].result == "taken"
        print(seq, flush=True)
"""


def test_what_was_answered_is_there_after_kill_9(path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parent)])}
    acknowledged = -1
    for lines in (3, 40, 90):
        command = [sys.executable, "-c", KEEPS_TAKING, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
            assert child.stdout is not None
            for _ in range(lines):
                acknowledged = int(child.stdout.readline())
            child.send_signal(signal.SIGKILL)
            acknowledged = max([acknowledged, *(int(line) for line in child.stdout if line.endswith("\n"))])
        with opened(path) as ledger:
            assert ledger._store.put_aside is None
            doubt = ledger._judge.watching.doubt
            assert doubt is not None
            assert doubt.checked == ledger._store.remembered(), "state and verdicts are of one commit"
            assert results(ledger, verdict(acknowledged)) == ["again"]
            assert ledger._store.remembered() in (acknowledged + 1, acknowledged + 2)


def audit(seq: int, sku: str = "sku-1") -> Decided:
    return decided(seq, Route.ACCEPT, sku, audited=True)


def test_another_bundle_is_not_doubted_for_what_the_one_before_accepted(path: Path) -> None:
    config = FeedbackConfig(path=str(path), accept_error=AcceptErrorRule(target=0.01))
    with opened(path, config, catalogue(bundle_id="b1")) as ledger:
        ledger.take([audit(seq) for seq in range(40)], [], [])
        after = catalogue(bundle_id="b2")
        assert ledger.follow(Judge(config, after), after) == []
        old = [verdict(seq, "sku-2", "reviewer") for seq in range(40)]
        answers, told = ledger.take([], old, [])
        assert {answer.result for answer in answers} == {"taken"}, "they count for the products"
        assert told == [], "and not against the certificate of a bundle that did not accept them"
        ledger.take([audit(seq) for seq in range(40, 80)], [], [])
        _, told = ledger.take([], [verdict(seq, "sku-2", "reviewer") for seq in range(40, 80)], [])
        assert [one.finding.event for one in told] == ["accept_error_in_doubt"]
    with opened(path, config, after) as ledger:
        assert ledger._judge.watching.before == 40, "and that is known after a restart"


def test_what_was_right_stays_right_where_another_bundle_has_the_product_no_more(path: Path) -> None:
    config = FeedbackConfig(path=str(path))
    with opened(path, config, catalogue(bundle_id="b1")) as ledger:
        ledger.take([audit(0), decided(1, Route.VERIFY), audit(2)], [], [])
        after = Catalogue("b2", {sku: tier for sku, tier in catalogue().tiers.items() if sku != "sku-1"}, 0, 0.01)
        ledger.follow(Judge(config, after), after)
        told = (verdict(0), verdict(1), verdict(2, "sku-99"))
        assert results(ledger, *told) == ["taken"] * 3
    assert [(one.right, one.truth_tier) for one in window_of(path)] == [(True, "tail"), (True, "tail"), (False, "none")]


def test_new_products_of_another_bundle_are_told_at_once(path: Path) -> None:
    config = FeedbackConfig(path=str(path))
    with opened(path, config, catalogue(bundle_id="b1")) as ledger:
        after = catalogue(new=2, bundle_id="b2")
        (told,) = ledger.follow(Judge(config, after), after)
        assert told.finding.event == "new_products"
        assert results(ledger, verdict(1)) == ["unknown_decision"]
