"""What the programs beside the tests have in common: JSON over HTTPS, each connection in a thread of its own."""

import argparse
import json
import ssl
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, value):
        text = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        """Silent: a request line tells nothing that the tests do not know."""


def serve(handler, description):
    arguments = argparse.ArgumentParser(description=description)
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--certificate", required=True)
    arguments.add_argument("--key", required=True)
    options = arguments.parse_args()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(options.certificate, options.key)
    server = ThreadingHTTPServer(("127.0.0.1", options.port), handler)
    # The handshake takes place in the connection's own thread, so a silent client holds up nobody.
    server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()
