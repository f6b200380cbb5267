"""Backends behind the data planes under test: plain HTTP, and gRPC without generated code."""

import threading
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc

from weirtest.ports import free_port

#: The method that the gRPC backend serves: bytes in, the backend's name out.
ECHO = "/weirtest.Echo/Call"


class HttpBackend:
    """Answers every GET with its own name."""

    def __init__(self, name):
        self.name, self.port, self.requests = name, free_port(), 0
        backend = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Head and body in one segment, or Nagle and the delayed ACK cost 40 ms for each request.
            wbufsize = 8192

            def do_GET(self):
                backend.requests += 1
                body = backend.name.encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class GrpcBackend(grpc.GenericRpcHandler):
    """Answers every call of `ECHO` with its own name."""

    def __init__(self, name):
        self.name, self.port = name, free_port()
        self.server = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
        self.server.add_generic_rpc_handlers((self, ))
        self.server.add_insecure_port(f"127.0.0.1:{self.port}")
        self.server.start()

    def service(self, details):
        if details.method != ECHO:
            return None
        return grpc.unary_unary_rpc_method_handler(lambda request, context: self.name.encode())

    def close(self):
        self.server.stop(None).wait()
