#!/usr/bin/python3
"""Sends frames without end: flood.py INTERFACE RATE, the frames in hexadecimal on standard input, one a line, in turn.

A process of its own, so that it keeps its pace whatever the test does.  RATE is packets a second; what a busy machine makes
it miss, it makes up for in bursts of at most BURST_MAX."""

import socket
import sys
import time

BURST_MAX = 50
ETH_P_ALL = 3


def main():
    interface, rate = sys.argv[1], float(sys.argv[2])
    frames = [bytes.fromhex(line) for line in sys.stdin.read().split()]
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sock.bind((interface, 0))
    begin, sent = time.monotonic(), 0
    while True:
        due = int((time.monotonic() - begin) * rate) - sent
        if due > BURST_MAX:
            begin += (due - BURST_MAX) / rate
            due = BURST_MAX
        for _ in range(due):
            try:
                sock.send(frames[sent % len(frames)])
            except OSError as error:
                if error.errno != 105:  # ENOBUFS
                    raise
            sent += 1
        time.sleep(0.001)


if __name__ == "__main__":
    main()
