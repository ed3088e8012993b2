"""Print the decisions of edge-daemon, one line each: seq route sku confidence. Needs only pyzmq; copy it and change it.

`seq` numbers every message of one start (`epoch`) of one device, whatever its topic. So this subscribes to every topic:
a jump in `seq` is that many messages lost on the way, and nothing else.
"""

from __future__ import annotations

import argparse
import json
import math
import sys

import zmq
import zmq.auth


def main() -> None:
    """Listen until --count decisions came, or until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoint", default="tcp://127.0.0.1:5556", help="publish.decisions of edge-daemon")
    parser.add_argument("--own", metavar="FILE", help="our NAME.secret, of edge-keys; where the daemon has keys")
    parser.add_argument("--peer", metavar="FILE", help="the NAME.pub of the daemon; with --own")
    parser.add_argument("--count", type=int, default=None, metavar="N", help="end after N decisions")
    arguments = parser.parse_args()
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
    socket.subscribe("")
    if (arguments.own is None) != (arguments.peer is None):
        parser.error("--own and --peer belong together")
    try:
        if arguments.own is not None:
            socket.curve_publickey, socket.curve_secretkey = zmq.auth.load_certificate(arguments.own)
            socket.curve_serverkey, _ = zmq.auth.load_certificate(arguments.peer)
    except (OSError, TypeError, ValueError) as error:
        parser.error(f"--own {arguments.own} --peer {arguments.peer}: {error}; expected NAME.secret and NAME.pub")
    try:
        socket.connect(arguments.endpoint)  # need not be there yet: ZeroMQ goes on trying
    except zmq.ZMQError as error:
        parser.error(f"--endpoint {arguments.endpoint}: {error.strerror}; expected tcp://HOST:PORT or ipc://PATH")
    expected: dict[tuple[str, str], int] = {}  # the next seq of each start
    decisions = missed = 0
    while arguments.count is None or decisions < arguments.count:
        _topic, payload = socket.recv_multipart()
        if not payload.startswith(b"{"):
            sys.exit("the payload is not JSON; set publish.format of edge-daemon to json")
        message = json.loads(payload)
        start = (message["device_id"], message["epoch"])
        gap = message["seq"] - expected.get(start, message["seq"])
        expected[start] = message["seq"] + 1
        if gap > 0:
            missed += gap
            print(f"{gap} missed before {message['seq']}", file=sys.stderr)
        if message["type"] == "decision":
            decisions += 1
            confidence = math.floor(message["confidence"] * 1000 + 0.5) / 1000
            print(message["seq"], message["route"], message["sku"] or "-", f"{confidence:.3f}", flush=True)
    print(f"{decisions} decisions, {missed} messages missed", file=sys.stderr)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
