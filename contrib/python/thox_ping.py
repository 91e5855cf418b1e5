#!/usr/bin/env python3
"""A native process for thox in Python: binds `ping` and answers.

    ping.greet(name)  ->  "hello NAME", the PID of the caller
    ping.echo(...)    ->  its arguments
    ping.fail(text)   ->  the error TEXT

Written from thox-rpc(7) alone, as an example. It needs python3-msgpack. It
prints `ready` when the name is bound, and ends when thoxd does.
"""
import array
import os
import selectors
import socket
import struct
import sys

import msgpack

HELLO, CALL, ANSWER, RESOLVE = 0, 1, 2, 7
ATTACH, REFUSED, REPLY, WANT_ZERO = 20, 27, 26, 80
LINK_CLOSED, OPENED, HOLD = 84, 88, 89
OK, ERROR, NOT_FOUND, INVALID = 0, 1, 2, 7
RECORD_BYTES, MESSAGE_BYTES = 65536, 16 << 20


class Link:
    """A socket of messages; recv() gives None for a part of one."""

    def __init__(self, sock, number=0, info=None):
        self.sock, self.number, self.info = sock, number, info or {}
        self.parts, self.total = b"", 0

    def fileno(self):
        return self.sock.fileno()

    def send(self, *message):
        data = msgpack.packb(message)
        if len(data) < RECORD_BYTES:
            self.sock.sendall(b"\0" + data)
            return
        head = b"\1" + struct.pack(">I", len(data))
        while data:
            room = RECORD_BYTES - len(head)
            if len(data) <= room:
                head = b"\2"
            self.sock.sendall(head + data[:room])
            head, data = b"\1", data[room:]

    def recv(self):
        fds = array.array("i")
        data, ancillary, _, _ = self.sock.recvmsg(RECORD_BYTES, socket.CMSG_SPACE(fds.itemsize))
        for level, kind, value in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds.frombytes(value[:len(value) - len(value) % fds.itemsize])
        if not data:
            raise EOFError
        if data[0] == 0:
            return msgpack.unpackb(data[1:], strict_map_key=False), list(fds)
        if not self.parts and not self.total:
            self.total, data = struct.unpack(">I", data[1:5])[0], data[4:]
            if self.total > MESSAGE_BYTES:
                raise EOFError
        self.parts += data[1:]
        if len(self.parts) < self.total:
            return None
        whole, self.parts, self.total = self.parts, b"", 0
        return msgpack.unpackb(whole, strict_map_key=False), []


def run_directory():
    if "THOX_DIR" in os.environ:
        return os.path.join(os.environ["THOX_DIR"], "run")
    runtime = os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")
    return os.path.join(runtime, "thox")


def connect(name):
    """The control link, attached."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    directory = os.open(run_directory(), os.O_PATH | os.O_DIRECTORY)
    sock.connect(f"/proc/self/fd/{directory}/control")
    os.close(directory)
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    if struct.unpack("3i", credentials)[1] not in (os.getuid(), 0):
        sys.exit("the server is not this user's")
    control = Link(sock)
    control.send(HELLO, 1, "thox_ping.py")
    control.send(ATTACH, {"name": name})
    while True:
        try:
            message, _ = control.recv()
        except EOFError:
            sys.exit("thoxd closed the connection")
        if message[0] == REFUSED or (message[0] == REPLY and message[2] != OK):
            sys.exit(f"thoxd refused: {message[1 if message[0] == REFUSED else 2:]}")
        if message[0] == REPLY:
            return control


def serve(link, name, args):
    """The status of a call and its values."""
    try:
        if name == "ping.greet":
            return OK, [f"hello {args[0]}", link.info["pid"]]
        if name == "ping.echo":
            return OK, args
        if name == "ping.fail":
            return ERROR, [args[0]]
    except (IndexError, TypeError):
        return INVALID, ["a name is wanted"]
    return NOT_FOUND, [f"there is no {name}"]


def main():
    control = connect("thox_ping")
    selector = selectors.DefaultSelector()
    selector.register(control, selectors.EVENT_READ)
    control.send(WANT_ZERO)

    def on_control(message, fds):
        if message[0] not in (OPENED, HOLD):
            for fd in fds:
                os.close(fd)
            return
        link = Link(socket.socket(fileno=fds[0]), message[1], message[2])
        selector.register(link, selectors.EVENT_READ)
        link.send(HELLO, 1, {"message_bytes": MESSAGE_BYTES})
        if link.info.get("zero"):
            link.send(CALL, 1, "bind", ["ping"])

    def on_message(link, message):
        if message[0] == CALL:
            link.send(ANSWER, message[1], *serve(link, message[2], message[3]))
        elif message[0] == RESOLVE:
            link.send(ANSWER, message[1], OK, [""])
        elif message[0] == ANSWER and message[2] != OK:
            sys.exit(f"bind: {message[3][0]}")
        elif message[0] == ANSWER:
            print("ready", flush=True)

    while True:
        for key, _ in selector.select():
            link = key.fileobj
            try:
                received = link.recv()
                if received and link is control:
                    on_control(*received)
                elif received:
                    on_message(link, received[0])
            except (EOFError, OSError):
                if link is control:
                    return
                selector.unregister(link)
                link.sock.close()
                control.send(LINK_CLOSED, link.number)


if __name__ == "__main__":
    main()
