"""Stream capture through ctypes, against real shared libraries in the place of the driver."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest
from test_cuda import driver

from edge.engines.cuda_graph import NAMES, capture, driver_with_graphs
from edge.errors import EngineError

# Handles wider than 32 bits come back whole, and every call is told to `calls`.
STREAM = 0x7F00_1234_5678
WORKS = """
static char calls[256]; static int at;
static void note(char c){calls[at++]=c;}
const char* heard(void){return calls;}
int cuStreamBeginCapture_v2(void*s,int m){note('b');return s==(void*)0x7F0012345678 && m==1 ? BEGIN : 1;}
int cuStreamEndCapture(void*s,void**g)
{note('e');*g=END?0:(void*)0x7F00AAAA0000;return s==(void*)0x7F0012345678 ? END : 1;}
int cuGraphInstantiateWithFlags(void**x,void*g,unsigned long long f)
{note('i');*x=(void*)0x7F00BBBB0000;return g==(void*)0x7F00AAAA0000 && f==0 ? READY : 1;}
int cuGraphDestroy(void*g){note('d');return g==(void*)0x7F00AAAA0000 ? 0 : 1;}
int cuGraphLaunch(void*x,void*s){note('l');return x==(void*)0x7F00BBBB0000 && s==(void*)0x7F0012345678 ? 0 : 1;}
int cuGraphExecDestroy(void*x){note('x');return x==(void*)0x7F00BBBB0000 ? 0 : 1;}
"""


def library(folder: Path, **codes: int) -> str:
    source = WORKS
    for name in ("BEGIN", "END", "READY"):
        source = source.replace(name, str(codes.get(name, 0)))
    return driver(folder, source)


def heard(found: object) -> str:
    found.heard.restype = ctypes.c_char_p  # type: ignore[attr-defined]
    return found.heard().decode()  # type: ignore[attr-defined,no-any-return]


def test_work_is_captured_launched_and_given_back(tmp_path: Path) -> None:
    found = driver_with_graphs(library(tmp_path))
    enqueued: list[int] = []
    graph = capture(found, STREAM, lambda: enqueued.append(1))
    graph.launch(STREAM)
    graph.launch(STREAM)
    graph.free()
    assert heard(found) == "beidllx"
    assert enqueued == [1]


@pytest.mark.parametrize(
    ("fault", "calls", "said"),
    [
        ("BEGIN", "b", "cuStreamBeginCapture_v2 failed with CUDA error 7"),
        ("END", "be", "cuStreamEndCapture failed with CUDA error 7"),
        ("READY", "beid", "cuGraphInstantiateWithFlags failed with CUDA error 7"),
    ],
)
def test_a_capture_that_fails_leaves_the_stream_as_it_was(tmp_path: Path, fault: str, calls: str, said: str) -> None:
    found = driver_with_graphs(library(tmp_path, **{fault: 7}))
    with pytest.raises(EngineError, match=said):
        capture(found, STREAM, lambda: None)
    assert heard(found) == calls


def test_work_that_fails_ends_the_capture_too(tmp_path: Path) -> None:
    def refuse() -> None:
        raise ValueError("refused")

    found = driver_with_graphs(library(tmp_path))
    with pytest.raises(ValueError, match="refused"):
        capture(found, STREAM, refuse)
    assert heard(found) == "bed"


@pytest.mark.parametrize("absent", NAMES)
def test_a_driver_that_lacks_a_name_offers_no_capture(tmp_path: Path, absent: str) -> None:
    source = WORKS.replace("BEGIN", "0").replace("END", "0").replace("READY", "0").replace(f"{absent}(", "other(")
    assert driver_with_graphs(driver(tmp_path, source)) is None


def test_a_machine_without_a_driver_offers_no_capture() -> None:
    assert driver_with_graphs("libabsent.so") is None
