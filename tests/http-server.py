#!/usr/bin/env python3
"""A web server on the loopback for the tests of thox-http; prints its port.

/hello        a text
/echo         what was sent: method, headers, body, as JSON
/status/N     that status
/to/URL       a redirect (302) there
/see/URL      another (303)
/loop         a redirect to itself
/big/N        N bytes
/silent/NAME  nothing, until the client goes; prints `asked NAME`, `gone NAME`
"""
import http.server
import json
import socketserver
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("X-Twice", "a")
        self.send_header("X-Twice", "b")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def echo(self):
        size = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(size).decode("latin-1")
        seen = {"method": self.command, "body": body,
                "headers": {k.lower(): v for k, v in self.headers.items()}}
        self.reply(200, json.dumps(seen).encode(), Content_Type="application/json")

    def handle_any(self):
        _, kind, *rest = self.path.split("/", 2)
        rest = rest[0] if rest else ""
        if kind == "hello":
            self.reply(200, "hello, wörld".encode(), Content_Type="text/plain")
        elif kind == "echo":
            self.echo()
        elif kind == "status":
            self.reply(int(rest), b"so it is")
        elif kind in ("to", "see"):
            self.reply(302 if kind == "to" else 303, Location=rest)
        elif kind == "loop":
            self.reply(302, Location=self.path)
        elif kind == "big":
            self.reply(200, b"\xff" * int(rest))
        elif kind == "silent":
            # In one piece, since others print as well.
            sys.stdout.write(f"asked {rest}\n")
            sys.stdout.flush()
            self.connection.recv(1)
            sys.stdout.write(f"gone {rest}\n")
            sys.stdout.flush()
            self.close_connection = True
        else:
            self.reply(404, b"no such thing")

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = handle_any


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True


server = Server(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
sys.stdout.flush()
server.serve_forever()
