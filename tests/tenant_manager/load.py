"""A sender of signed events at a fixed pace, as a process of its own: ``python -m tests.tenant_manager.load HOST PORT RATE CONNECTIONS < requests``.

Each line of the input is an event's id and its whole HTTP request in base64, both signed and written before the clock starts. Latency
counts from the moment that an event was due: a sender that waits for answers would hide queues. Answers with one line of JSON:
{accepted: [ids with a 202], took: [seconds], late: [seconds that sending itself was late], elapsed, cpu}, times in seconds.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import sys
import time

import uvloop


async def send(host: str, port: int, rate: float, connections: int, requests: list[tuple[str, bytes]]) -> dict[str, object]:
    accepted: list[str] = []
    took: list[float] = []
    late: list[float] = []
    waiting = iter(enumerate(requests))
    streams = [await asyncio.open_connection(host, port) for _ in range(connections)]
    began = time.monotonic() + 0.5

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number, (message, raw) in waiting:
            due = began + number / rate
            if (pause := due - time.monotonic()) > 0:
                await asyncio.sleep(pause)
            late.append(time.monotonic() - due)
            writer.write(raw)
            head = await reader.readuntil(b"\r\n\r\n")
            took.append(time.monotonic() - due)
            if head.split(b" ", 2)[1] == b"202":
                accepted.append(message)
        writer.close()

    cpu = time.process_time()
    async with asyncio.TaskGroup() as group:
        for reader, writer in streams:
            group.create_task(connection(reader, writer))
    return {
        "accepted": accepted, "took": took, "late": late,
        "elapsed": time.monotonic() - began, "cpu": time.process_time() - cpu,
    }  # fmt: skip


def main(host: str, port: str, rate: str, connections: str) -> None:
    requests = [(name, base64.b64decode(raw)) for name, raw in map(str.split, sys.stdin)]
    gc.freeze()
    json.dump(uvloop.run(send(host, int(port), float(rate), int(connections), requests)), sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
