"""The model of the deployment: answers with the headers of the request that reached it."""

import sys
from http.server import ThreadingHTTPServer

import webserver


class Model(webserver.Handler):
    def do_GET(self):
        self.answer(200, {name.lower(): self.headers.get_all(name) for name in self.headers})


ThreadingHTTPServer((sys.argv[1], 8080), Model).serve_forever()
