"""Calls to the services beside discovery: health, reflection, client status and load reports, by generic stubs."""

import queue
import threading

import grpc
import service_protos
from envoy.service.load_stats.v3 import lrs_pb2
from envoy.service.status.v3 import csds_pb2

from weirtest import waiting

HEALTH = service_protos.message_classes(service_protos.health())
#: v1 and v1alpha differ in the service's name only.
REFLECTION = service_protos.message_classes(service_protos.reflection("v1"))

SERVING, NOT_SERVING, SERVICE_UNKNOWN = 1, 2, 3


class Call:
    """One streaming call, with its responses in an inbox that a thread fills."""

    def __init__(self, stub):
        self._requests = queue.SimpleQueue()
        self.inbox = queue.SimpleQueue()
        self.ended = None
        self._call = stub(iter(self._requests.get, None))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        try:
            for response in self._call:
                self.inbox.put(response)
            self.ended = (self._call.code(), self._call.details())
        except grpc.RpcError as error:
            self.ended = (error.code(), error.details())
        self.inbox.put(None)

    def send(self, request):
        self._requests.put(request)

    def half_close(self):
        self._requests.put(None)

    def expect(self, timeout=10.0):
        """The next response; fails when the call has ended."""
        response = self.inbox.get(timeout=timeout * waiting.patience)
        assert response is not None, f"the call ended with {self.ended}"
        return response

    def ask(self, request):
        self.send(request)
        return self.expect()

    def quiet(self, seconds=0.3):
        """Nothing arrives, and the call goes on."""
        try:
            response = self.inbox.get(timeout=seconds)
        except queue.Empty:
            return
        raise AssertionError(f"unexpected: {response if response is not None else self.ended}")

    def status(self, timeout=10.0):
        """Waits for the end: (status code, message). What was not read until then is dropped."""
        while self.inbox.get(timeout=timeout * waiting.patience) is not None:
            pass
        return self.ended

    def close(self):
        self._call.cancel()
        self._requests.put(None)
        self._reader.join(10)


class ServiceClient:
    """One connection, and the calls on it."""

    def __init__(self, address, credentials=None):
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1),
                   ("grpc.enable_retries", 0)]
        if credentials:
            self.channel = grpc.secure_channel(address, credentials, options)
        else:
            self.channel = grpc.insecure_channel(address, options)
        self._calls = []

    def close(self):
        for call in self._calls:
            call.close()
        self.channel.close()

    def unary(self, path, request, response, timeout=30.0):
        """Calls a method with one request and one response; `response` is the message's class."""
        stub = self.channel.unary_unary(
            path, request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response.FromString)
        return stub(request, timeout=timeout * waiting.patience)

    def stream(self, path, response):
        """Opens a method with streams both ways (or one way, which looks the same on the wire)."""
        call = Call(self.channel.stream_stream(
            path, request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response.FromString))
        self._calls.append(call)
        return call

    # --- Health.

    def check(self, service=""):
        answer = self.unary("/grpc.health.v1.Health/Check", HEALTH["HealthCheckRequest"](service=service),
                            HEALTH["HealthCheckResponse"])
        return answer.status

    def health_list(self):
        answer = self.unary("/grpc.health.v1.Health/List", HEALTH["HealthListRequest"](),
                            HEALTH["HealthListResponse"])
        return {name: entry.status for name, entry in answer.statuses.items()}

    def watch(self, service=""):
        call = self.stream("/grpc.health.v1.Health/Watch", HEALTH["HealthCheckResponse"])
        call.send(HEALTH["HealthCheckRequest"](service=service))
        call.half_close()
        return call

    # --- Reflection, client status, load reports.

    def reflection(self, version="v1"):
        return self.stream(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
                           REFLECTION["ServerReflectionResponse"])

    def client_status(self, **fields):
        """One FetchClientStatus."""
        return self.unary("/envoy.service.status.v3.ClientStatusDiscoveryService/FetchClientStatus",
                          csds_pb2.ClientStatusRequest(**fields), csds_pb2.ClientStatusResponse)

    def client_status_stream(self):
        return self.stream("/envoy.service.status.v3.ClientStatusDiscoveryService/StreamClientStatus",
                           csds_pb2.ClientStatusResponse)

    def load_reports(self):
        return self.stream("/envoy.service.load_stats.v3.LoadReportingService/StreamLoadStats",
                           lrs_pb2.LoadStatsResponse)


def code_of(function, *arguments, **fields):
    """The status code and message with which a call fails."""
    try:
        answer = function(*arguments, **fields)
    except grpc.RpcError as error:
        return error.code(), error.details()
    raise AssertionError(f"it did not fail: {answer}")
