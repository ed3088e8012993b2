"""`edge-collect`: take decisions and events from any number of outboxes, write them down, acknowledge them. A consumer
to copy.

What is acknowledged is committed. What comes again, because an acknowledgement was lost or this program was killed, is
known, a decision by `(device_id, epoch, seq)` and an event by `event_id`, and written once. With keys a device delivers
for itself alone (`edge.collect.delivered`); what it says in another's name is refused, and waits in its outbox.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import zmq

from edge import logs
from edge.collect.archive import Added, Archive
from edge.collect.delivered import Bearer, Delivered, read, why_refused
from edge.command import Parser, run
from edge.errors import InputError, PublishError
from edge.keys.door import Door
from edge.keys.options import add_door, door_from
from edge.listening import refuse_old_protocols, refuse_taken, remove
from edge.outbox.wire import acknowledgement, refusal, row_of
from edge.telling import Telling

__all__ = ["main"]

PROG = "edge-collect"
TICK_MS = 200
BATCH = 1_000  # messages in one commit
MAX_MESSAGE_BYTES = 1 << 20

log = logging.getLogger("edge.collect")


def main(argv: Sequence[str] | None = None) -> int:
    """Run `edge-collect`."""
    return run(PROG, _collect, argv)


def _collect(argv: Sequence[str]) -> int:
    parser = Parser(PROG, "Write the decisions of devices down and acknowledge them.", f"{PROG} --out decisions.sqlite")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="SQLite database to add to")
    parser.add_argument(
        "--listen", default="tcp://127.0.0.1:5560", help="where outboxes deliver (default: %(default)s)"
    )
    parser.add_argument("--log-format", choices=logs.FORMS, default="text", help="of what is said on standard error")
    add_door(parser)
    arguments = parser.parse_args(argv)
    logs.set_up(arguments.log_format)
    door = door_from(arguments, "collect", "--listen", arguments.listen)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with Archive(arguments.out) as archive, _listening(arguments.listen, door) as socket:
        print(f"listening on {socket.getsockopt_string(zmq.LAST_ENDPOINT)}", flush=True)
        desk = _Desk(socket, door, archive)
        desk.serve(stop)
    added = desk.added
    print(
        f"{added.new} decisions written, {added.again} came again, {added.rejected} rejected; "
        f"{added.events} events written"
    )
    if desk.refused:
        print(f"refused and not acknowledged: {desk.refused}, sent with the key of another device; the log names both")
    if door is not None and any(door.refused().values()):
        refused = ", ".join(f"{count} {reason}" for reason, count in door.refused().items() if count)
        print(f"connections refused: {refused}")
    return 0


@contextmanager
def _listening(endpoint: str, door: Door | None) -> Iterator[zmq.Socket[bytes]]:
    refuse_taken(endpoint, "--listen")
    with zmq.Context(io_threads=1) as context, context.socket(zmq.ROUTER) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
        socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
        if door is not None:
            door.guard(context, socket)
        else:
            refuse_old_protocols(socket)
        try:
            socket.bind(endpoint)
            try:
                yield socket
            finally:
                remove(endpoint)
        except zmq.ZMQError as error:
            raise PublishError(f"cannot listen on {endpoint}: {error.strerror}; free it or change --listen") from None
        finally:
            if door is not None:
                door.close()


class _Desk:
    """Takes what lies in `socket`, has it committed, and answers: what is refused is told so and never acknowledged."""

    def __init__(self, socket: zmq.Socket[bytes], door: Door | None, archive: Archive) -> None:
        self._socket = socket
        self._door = door
        self._archive = archive
        self._telling = Telling(log, time.monotonic_ns)
        self._rows: dict[bytes, list[int]] = defaultdict(list)  # by sender, to be acknowledged
        self._refused: dict[bytes, list[int]] = defaultdict(list)  # by sender, not to be acknowledged
        self._whys: dict[bytes, str] = {}  # by sender, the last one
        self._bearers: dict[str, Bearer] = {}  # as the list had them when the first message of a commit came
        self.added = Added()
        self.refused = 0

    def serve(self, stop: threading.Event) -> None:
        """Go on until `stop` is set."""
        while not stop.is_set():
            self._socket.poll(TICK_MS, zmq.POLLIN)
            taken: list[Delivered] = []
            for _ in range(BATCH):
                if not self._socket.poll(0, zmq.POLLIN):
                    break
                one = self._received()
                taken += [] if one is None else [one]
            if taken:
                self.added += self._archive.add(taken)
            self._answer()

    def _received(self) -> Delivered | None:
        """Return one message that may be written down, None for another one."""
        sender, *frames = self._socket.recv_multipart(copy=False)
        try:
            row, payload = frames
            number = row_of(row.bytes)
        except (ValueError, InputError) as error:
            self.added += Added(rejected=1)  # no outbox speaks like this, and nobody waits for an answer
            log.warning("a message of %d frames was rejected: %s", len(frames), error)
            return None
        delivered = read(payload.bytes)
        why = self._why_refused(payload, delivered)
        if why is not None:
            self.refused += 1
            self._refused[sender.bytes].append(number)
            self._whys[sender.bytes] = why
            return None
        self._rows[sender.bytes].append(number)
        return delivered

    def _why_refused(self, frame: zmq.Frame, delivered: Delivered) -> str | None:
        if self._door is None:
            return None
        user_id = str(frame.get("User-Id"))
        try:
            if user_id not in self._bearers:
                self._bearers[user_id] = Bearer(self._door.name_of(user_id))
            bearer = self._bearers[user_id]
        except InputError as error:
            self._telling.warning("list", f"nothing is taken from anybody: {error}")
            return "it cannot read its list of keys, so it takes nothing from anybody; its own log says why"
        why = why_refused(delivered.message, bearer)
        if why is not None:
            self._telling.warning(f"{bearer.name}", f"refused, and not acknowledged: {why}")
        return why

    def _answer(self) -> None:
        """Answer every sender; one that does not read gets none, and will deliver again."""
        for sender, rows in self._rows.items():
            with suppress(zmq.Again):
                self._socket.send_multipart([sender, acknowledgement(rows)], flags=zmq.NOBLOCK)
        for sender, rows in self._refused.items():
            with suppress(zmq.Again):
                self._socket.send_multipart([sender, *refusal(self._whys[sender], rows)], flags=zmq.NOBLOCK)
        self._rows.clear()
        self._refused.clear()
        self._whys.clear()
        self._bearers.clear()
