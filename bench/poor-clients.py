"""Clients that others shouldn't suffer from, in a process of their own: those that leave their stream unread, with buffers so
small that the server soon has to keep it (Node sets no sizes of TCP's buffers), those that read theirs, to compare with, and
those that never come to the end of a request.

    poor-clients.py unread|read|late PORT COUNT BODY

Prints a line once all have sent what they send at once; `late`, a second one with [{"part", "status", "ms"}] once all are
answered, counted from their connection. Ends with its standard input."""

import json
import select
import socket
import sys
import time

kind, port, count, body = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4].encode()
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
LENGTH = b"Content-Length: %d\r\n\r\n" % len(body)
# A byte of a late request comes this often, in seconds.
DRIP = 0.2


def connect():
    made = socket.socket()
    if kind == "unread":
        # The size of segments too: the server's own buffer has room for so many of them, and loopback's are 64 KiB.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    made.connect(("127.0.0.1", port))
    return made


def say(line):
    print(line, flush=True)


clients = [connect() for _ in range(count)]
began = time.perf_counter()
for i, client in enumerate(clients):
    # Of the late ones every second sends its head, but not its body.
    client.sendall(HEAD if kind == "late" and i % 2 == 0 else HEAD + LENGTH if kind == "late" else HEAD + LENGTH + body)
say("sent")

waiting = [] if kind == "unread" else list(clients)
answers = []
drips = time.perf_counter() + DRIP
while True:
    timeout = max(0, drips - time.perf_counter()) if kind == "late" else None
    ready, _, _ = select.select([sys.stdin, *waiting], [], [], timeout)
    if sys.stdin in ready:
        break
    for client in ready:
        try:
            data = client.recv(65536)
        except ConnectionError:
            data = b""
        if kind == "read" and data:
            continue
        waiting.remove(client)
        if kind == "late":
            part = "head" if clients.index(client) % 2 == 0 else "body"
            status = int(data[9:12]) if data.startswith(b"HTTP/1.1 ") else None
            answers.append({"part": part, "status": status, "ms": 1000 * (time.perf_counter() - began)})
            if not waiting:
                say(json.dumps(answers))
    if kind == "late" and time.perf_counter() >= drips:
        drips += DRIP
        for client in waiting:
            try:
                client.sendall(b"x")
            except ConnectionError:
                # The answer is there to be read.
                pass
