"""Asks the CUDA driver for its first GPU and wakes it; one line of JSON. A script of the standard library alone.

A process of its own, because a driver that is missing, broken or of another version than the kernel's half may crash or
hang whoever touches it (TensorRT's Runtime, for one, ends the process where there is no driver).
CUDA Driver API: cuInit, cuDevicePrimaryCtxRetain, cuMemGetInfo.
"""

from __future__ import annotations

import ctypes
import json
import sys
from contextlib import suppress
from typing import Any

MAJOR, MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*


class _Failed(Exception):  # noqa: N818  # a word for this file alone
    pass


def main(library: str) -> int:
    """Print `{"name", "sm", "driver", "free_mib", "total_mib"}` or `{"error"}`; the exit code is 0 either way."""
    try:
        found = _ask(ctypes.CDLL(library))
    except OSError as error:
        found = {"error": f"no CUDA driver ({error})"}
    except AttributeError as error:
        found = {"error": f"{library} is not a CUDA driver ({error})"}
    except _Failed as error:
        found = {"error": str(error)}
    print(json.dumps(found), flush=True)
    return 0


def _ask(driver: Any) -> dict[str, Any]:
    _call(driver, "cuInit", 0)
    version, count, device = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    _call(driver, "cuDriverGetVersion", ctypes.byref(version))
    _call(driver, "cuDeviceGetCount", ctypes.byref(count))
    if count.value == 0:
        raise _Failed("the CUDA driver shows no GPU")
    _call(driver, "cuDeviceGet", ctypes.byref(device), 0)
    name = ctypes.create_string_buffer(128)
    _call(driver, "cuDeviceGetName", name, len(name), device)
    capability = []
    for attribute in (MAJOR, MINOR):
        value = ctypes.c_int()
        _call(driver, "cuDeviceGetAttribute", ctypes.byref(value), attribute, device)
        capability.append(value.value)
    context, free, total = ctypes.c_void_p(), ctypes.c_size_t(), ctypes.c_size_t()
    _call(driver, "cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
    _call(driver, "cuCtxSetCurrent", context)
    _call(driver, "cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
    return {
        "name": name.value.decode(errors="replace"),
        "sm": 10 * capability[0] + capability[1],
        "driver": f"{version.value // 1000}.{version.value % 1000 // 10}",
        "free_mib": free.value >> 20,
        "total_mib": total.value >> 20,
    }


def _call(driver: Any, function: str, *arguments: Any) -> None:
    code = getattr(driver, function)(*arguments)
    if code != 0:
        raise _Failed(f"{function} failed with {_name(driver, code)}")


def _name(driver: Any, code: int) -> str:
    text = ctypes.c_char_p()
    with suppress(AttributeError):  # a driver before CUDA 6
        driver.cuGetErrorName(code, ctypes.byref(text))
    return f"{text.value.decode(errors='replace')} ({code})" if text.value else f"CUDA error {code}"


if __name__ == "__main__":
    sys.exit(main(*(sys.argv[1:] or ["libcuda.so.1"])))
