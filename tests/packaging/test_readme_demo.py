"""`make demo`, with a few products, in a copy of what a newcomer has."""

from __future__ import annotations

from pathlib import Path

import pytest
from readme_commands import copied_tree, run


@pytest.mark.timeout(900)
def test_make_demo_runs_and_shows_its_figures(tmp_path: Path) -> None:
    folder = copied_tree(tmp_path)
    out = run(folder, ["make", "demo", "DEMO_SKUS=24", "DEMO_PHOTOS=flat:4,8,1", "DEMO_PRODUCTS=3"], timeout=800)
    for figure in ("automation rate", "silent-error rate", "latency p50 / p99", "peak memory", "decisions.html"):
        assert figure in out
    page = (folder / "demo" / "decisions.html").read_text(encoding="utf-8")
    assert "data:image/jpeg;base64," in page
    assert (folder / "demo" / "bundle" / "report.html").is_file()
