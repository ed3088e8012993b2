"""Start, stop and kill a capture process. The parent's side of `edge.capture.child`.

The child inherits one descriptor (the channel), a session of its own (Ctrl-C reaches only the daemon) and an
environment that keeps it small. It is asked to end before it is killed, so that a camera driver can be closed in order;
a child that does not listen is killed. No wait here is unbounded, and `discard` does not wait at all: a process that
not even SIGKILL ends (a driver that hangs in the kernel) is left to be reaped later.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from edge.capture.channel import Channel
from edge.capture.complaints import LOG_LEVEL

__all__ = ["COMMAND", "CaptureProcess"]

COMMAND = (sys.executable, "-m", "edge.capture.child")
_ROOT = Path(__file__).resolve().parents[2]  # where the child finds this same package
_POLITE_S = 0.5
_REAP_S = 0.1
_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "OPENCV_FFMPEG_THREADS")

_unreaped: list[subprocess.Popen[bytes]] = []


class CaptureProcess:
    """A running child and the channel to it."""

    def __init__(self, command: Sequence[str], read_timeout_ms: int) -> None:
        _reap()
        self.channel, theirs = Channel.pair()
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [*command, str(theirs.fileno()), str(os.getpid())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    env=_environment(os.environ, read_timeout_ms),
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
            except BaseException:
                self.channel.close()
                raise

    @property
    def pid(self) -> int:
        """The process id, for logs and for accounts of memory."""
        return self._process.pid

    def stop(self) -> None:
        """Ask the child to end; kill it when it does not end soon."""
        self.channel.close()
        if not self._ended(_POLITE_S):
            self.kill()

    def discard(self) -> None:
        """Let go of a child that failed, without waiting for its end."""
        self.channel.close()
        self.kill(0.0)

    def kill(self, wait_s: float = _REAP_S) -> None:
        """Kill the child now. The channel stays open, so that who waits on it wakes up."""
        self._process.kill()
        if not self._ended(wait_s) and self._process not in _unreaped:
            _unreaped.append(self._process)

    def epitaph(self) -> str:
        """Say how the child ended, after its end of the channel closed; a child that did not end yet is killed."""
        if not self._ended(_REAP_S):
            self.kill()
            return "the capture process closed its channel and was killed"
        code = self._process.returncode
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        return f"the capture process ended {how}"

    def _ended(self, within_s: float) -> bool:
        try:
            self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            return False
        return True


def _environment(base: Mapping[str, str], read_timeout_ms: int) -> dict[str, str]:
    environment = dict(base)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_ROOT), base.get("PYTHONPATH", ""))))
    environment["PYTHONSAFEPATH"] = "1"  # a file in the working directory never stands in for a module (3.11)
    environment.update(dict.fromkeys(_THREADS, "1"))
    environment["OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT"] = str(-(-read_timeout_ms // 1000))
    environment["OPENCV_FFMPEG_LOGLEVEL"] = str(LOG_LEVEL)  # what is read there is not the user's to silence
    return environment


def _reap() -> None:
    """Collect children that took long to die."""
    _unreaped[:] = [process for process in _unreaped if process.poll() is None]
