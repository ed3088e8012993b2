"""The question for a GPU: real child processes, and real shared libraries in the place of the driver."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from edge.engines.cuda import Gpu, find_gpu
from edge.errors import EngineError

NO_NAMES = "int cuInit(int f){return 100;}"
NO_DEVICE = NO_NAMES + 'int cuGetErrorName(int e,const char**t){*t="CUDA_ERROR_NO_DEVICE";return 0;}'
CRASHES = "int cuInit(int f){volatile int*p=0;return *p;}"
HANGS = "extern int pause(void); int cuInit(int f){for(;;)pause();return 0;}"
TALKS = """
extern long write(int,const void*,long); extern void _exit(int);
int cuInit(int f){write(1,"hello\\n",6);_exit(0);return 0;}
"""
OTHER = "int something(void){return 0;}"
ENDS = "extern void _exit(int); int cuInit(int f){_exit(3);return 0;}"
WORKS = """
int cuInit(int f){return 0;}
int cuDriverGetVersion(int*v){*v=12060;return 0;}
int cuDeviceGetCount(int*n){*n=COUNT;return 0;}
int cuDeviceGet(int*d,int n){*d=0;return 0;}
int cuDeviceGetName(char*t,int n,int d){t[0]='O';t[1]='r';t[2]='i';t[3]='n';t[4]=0;return 0;}
int cuDeviceGetAttribute(int*v,int a,int d){*v = a==75 ? 8 : 7;return 0;}
int cuDevicePrimaryCtxRetain(void**c,int d){*c=(void*)1;return MEMORY;}
int cuCtxSetCurrent(void*c){return 0;}
int cuMemGetInfo_v2(unsigned long*f,unsigned long*t){*f=3ul<<30;*t=7ul<<30;return 0;}
"""


def driver(folder: Path, source: str) -> str:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler: drivers that misbehave were not tested")
    (folder / "driver.c").write_text(source)
    library = folder / "libcuda.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-w", "-o", library, folder / "driver.c"], check=True)
    return str(library)


def test_a_machine_without_a_driver_says_so() -> None:
    with pytest.raises(EngineError, match=r"no GPU: no CUDA driver \(libabsent\.so: cannot open .*; check nvidia-smi"):
        find_gpu("libabsent.so")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (NO_DEVICE, r"cuInit failed with CUDA_ERROR_NO_DEVICE \(100\)"),
        (NO_NAMES, "cuInit failed with CUDA error 100"),
        (CRASHES, r"the CUDA driver crashes \(SIGSEGV\)"),
        (TALKS, r"the CUDA driver printed b'hello\\n'"),
        (OTHER, "is not a CUDA driver"),
        (ENDS, r"the CUDA driver cannot be asked \(exit code 3\)"),
        (WORKS.replace("COUNT", "0").replace("MEMORY", "0"), "the CUDA driver shows no GPU"),
        (WORKS.replace("COUNT", "1").replace("MEMORY", "2"), "cuDevicePrimaryCtxRetain failed with CUDA error 2"),
    ],
    ids=["no device", "no names", "crash", "chatter", "not a driver", "exit", "no GPU", "no memory for a context"],
)
def test_a_driver_that_does_not_work_is_one_clear_error(tmp_path: Path, source: str, said: str) -> None:
    with pytest.raises(EngineError, match=said):
        find_gpu(driver(tmp_path, source))


def test_a_driver_that_hangs_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="did not answer in 1 s"):
        find_gpu(driver(tmp_path, HANGS), patience_s=1.0)


def test_a_gpu_that_works_is_described(tmp_path: Path) -> None:
    found = find_gpu(driver(tmp_path, WORKS.replace("COUNT", "1").replace("MEMORY", "0")))
    assert found == Gpu(name="Orin", sm=87, driver="12.6", free_mib=3072, total_mib=7168)


@pytest.mark.gpu
def test_the_gpu_of_this_machine_is_found() -> None:
    try:
        found = find_gpu()
    except EngineError as error:
        pytest.skip(f"not run: {error}")
    assert found.sm >= 50
    assert 0 < found.free_mib <= found.total_mib
