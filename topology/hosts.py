#!/usr/bin/python3
"""What runs on the hosts of a topology: servers to be reached, and clients that measure.

    hosts.py serve NAME --tcp 22,80,8888 --udp 5000    answers, until its standard input closes
    hosts.py probe ADDRESS PORT [--timeout S]          one TCP connection and answer: prints "open" or "closed", exits 0 or 1
    hosts.py transfer ADDRESS PORT                     a TCP download that goes on and on
    hosts.py stream ADDRESS PORT [--rate N]            numbered UDP packets there and, echoed, back again

`transfer` and `stream` print one line of JSON for each line they read, and end when their standard input closes:

    transfer: {"connected": bool, "bytes": N, "idle_ms": N}        idle_ms: since the last byte came
    stream:   {"sent": N, "received": N, "lost": N, "idle_ms": N}  lost: sent more than five seconds ago and not come back

A TCP server answers a request of HTTP with its name and port; the line "stream" with numbered lines that do not end.
"""

import argparse
import asyncio
import json
import os
import socket
import struct
import sys
import time

LINE_SIZE = 1024
LINES_PER_S = 100
GRACE_S = 5.0  # A busy machine keeps a packet waiting for longer than one would think; what is late is not lost.
BUFFER_SIZE = 1 << 20


async def answer(name, port, reader, writer):
    try:
        request = await reader.readline()
        if request == b"stream\n":
            number = 0
            while not reader.at_eof():
                writer.write(f"{number}".encode().ljust(LINE_SIZE - 1) + b"\n")
                await writer.drain()
                number += 1
                await asyncio.sleep(1 / LINES_PER_S)
        elif request:
            body = f"{name} port {port}\n"
            writer.write(f"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
            await writer.drain()
    except OSError:
        pass  # The peer has gone, or was cut off: that is what is being shown.
    finally:
        writer.close()


class Echo(asyncio.DatagramProtocol):
    """Sends every packet back."""

    def connection_made(self, transport):
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_SIZE)
        self.transport = transport

    def datagram_received(self, data, addr):
        self.transport.sendto(data, addr)


async def input_lines():
    """Yields each line of the standard input."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield line


def say(**facts):
    print(json.dumps(facts), flush=True)


async def serve(args):
    loop = asyncio.get_running_loop()
    for port in args.tcp:
        await asyncio.start_server(lambda r, w, port=port: answer(args.name, port, r, w), None, port)
    for port in args.udp:
        await loop.create_datagram_endpoint(Echo, local_addr=("::", port))
    say(ready=True)
    async for _ in input_lines():
        pass


async def probe(args):
    try:
        async with asyncio.timeout(args.timeout):
            reader, writer = await asyncio.open_connection(args.address, args.port)
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            answer_text = (await reader.read()).decode(errors="replace")
            writer.close()
    except (OSError, TimeoutError):
        print("closed")
        return 1
    print("open", answer_text.rsplit("\r\n", 1)[-1].strip())
    return 0


async def transfer(args):
    state = {"connected": False, "bytes": 0, "last": time.monotonic()}

    async def receive():
        reader, writer = await asyncio.open_connection(args.address, args.port)
        state["connected"] = True
        writer.write(b"stream\n")
        while data := await reader.read(1 << 16):
            state["bytes"] += len(data)
            state["last"] = time.monotonic()

    task = asyncio.create_task(receive())
    async for _ in input_lines():
        say(connected=state["connected"], bytes=state["bytes"], idle_ms=int((time.monotonic() - state["last"]) * 1000))
    task.cancel()


class Numbered(asyncio.DatagramProtocol):
    """Sends numbers and notes down which come back."""

    def __init__(self):
        self.sent_at = []
        self.missing = set()
        self.received = 0
        self.last = time.monotonic()

    def connection_made(self, transport):
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_SIZE)
        self.transport = transport

    def send(self):
        number = len(self.sent_at)
        self.sent_at.append(time.monotonic())
        self.missing.add(number)
        self.transport.sendto(struct.pack("!Q", number).ljust(64))

    def datagram_received(self, data, addr):
        self.missing.discard(struct.unpack_from("!Q", data)[0])
        self.received += 1
        self.last = time.monotonic()

    def error_received(self, exc):
        pass  # Counted as lost.

    def report(self):
        now = time.monotonic()
        lost = sum(1 for number in self.missing if now - self.sent_at[number] > GRACE_S)
        say(sent=len(self.sent_at), received=self.received, lost=lost, idle_ms=int((now - self.last) * 1000))


async def stream(args):
    _, numbered = await asyncio.get_running_loop().create_datagram_endpoint(Numbered, remote_addr=(args.address, args.port))

    async def send():
        due = time.monotonic()
        while True:
            numbered.send()
            due += 1 / args.rate
            await asyncio.sleep(max(0, due - time.monotonic()))

    task = asyncio.create_task(send())
    async for _ in input_lines():
        numbered.report()
    task.cancel()


def ports(text):
    return [int(word) for word in text.split(",") if word]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("serve")
    one.add_argument("name")
    one.add_argument("--tcp", type=ports, default=[])
    one.add_argument("--udp", type=ports, default=[])
    for name in ("probe", "transfer", "stream"):
        one = commands.add_parser(name)
        one.add_argument("address")
        one.add_argument("port", type=int)
        if name == "probe":
            one.add_argument("--timeout", type=float, default=1.0)
        if name == "stream":
            one.add_argument("--rate", type=float, default=100.0)
    args = parser.parse_args()
    try:
        return asyncio.run({"serve": serve, "probe": probe, "transfer": transfer, "stream": stream}[args.command](args)) or 0
    except BrokenPipeError:  # Whoever started it is being ended and does not listen any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


if __name__ == "__main__":
    sys.exit(main())
