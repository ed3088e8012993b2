"""`edge-collect`: take decisions and events from any number of outboxes, write them down, acknowledge them. A consumer
to copy.

What is acknowledged is committed. What comes again, because an acknowledgement was lost or this program was killed, is
known, a decision by `(device_id, epoch, seq)` and an event by `event_id`, and written once.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import zmq

from edge import logs
from edge.collect.archive import Added, Archive
from edge.command import Parser, run
from edge.errors import InputError, PublishError
from edge.keys.door import Door
from edge.keys.options import add_door, door_from
from edge.listening import refuse_taken, remove
from edge.outbox.wire import acknowledgement, row_of

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
        added = _serve(socket, archive, stop)
    print(
        f"{added.new} decisions written, {added.again} came again, {added.rejected} rejected; "
        f"{added.events} events written"
    )
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


def _serve(socket: zmq.Socket[bytes], archive: Archive, stop: threading.Event) -> Added:
    added = Added()
    while not stop.is_set():
        socket.poll(TICK_MS, zmq.POLLIN)
        rows: dict[bytes, list[int]] = defaultdict(list)
        payloads: list[bytes] = []
        while len(payloads) < BATCH and socket.poll(0, zmq.POLLIN):
            sender, *frames = socket.recv_multipart()
            try:
                row, payload = frames
                rows[sender].append(row_of(row))
            except (ValueError, InputError) as error:
                added += Added(rejected=1)  # no outbox speaks like this, and nobody waits for an answer
                log.warning("a message of %d frames was rejected: %s", len(frames), error)
            else:
                payloads.append(payload)
        if payloads:
            added += archive.add(payloads)
            for sender, own in rows.items():
                with suppress(zmq.Again):  # an outbox that does not read: it will deliver again
                    socket.send_multipart([sender, acknowledgement(own)], flags=zmq.NOBLOCK)
    return added
