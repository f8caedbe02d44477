"""A steady tick: asks the simulated exchange for one message of a stream, over and over, until it is ended.

`python -m loadtest.bench.ticks PORT STREAM EVERY_MS`. One message at a time, so that none waits for another to be
parsed, as those of a burst do.
"""

from __future__ import annotations

import http.client
import json
import sys
import time


def tick(connection: http.client.HTTPConnection, stream: str) -> None:
    """One message now; anything but success ends the program with what the exchange said."""
    connection.request("POST", "/admin/burst", json.dumps({"stream": stream, "count": 1}))
    answer = connection.getresponse()
    said = answer.read().decode()
    if answer.status != http.client.OK:
        sys.exit(f"{stream}: {answer.status} {said}")


def main() -> None:
    port, stream, every_ms = sys.argv[1:]
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=10)
    due_s = time.monotonic()
    while True:
        tick(connection, stream)
        due_s += float(every_ms) / 1000
        time.sleep(max(0.0, due_s - time.monotonic()))


if __name__ == "__main__":
    main()
