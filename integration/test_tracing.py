"""Spans of pushes and first requests, as a collector of OpenTelemetry gets them."""

import http.server
import threading

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from weirtest import xds
from weirtest.ports import free_port
from weirtest.waiting import eventually
from weirtest.weir import upstream
from weirtest.xds import CDS

pytestmark = pytest.mark.relay_only


class Collector(http.server.ThreadingHTTPServer):
    """Keeps the spans that it is sent, and the requests' headers; can be made to refuse or to be slow."""

    daemon_threads = True

    def __init__(self, port=0):
        self.requests, self.headers, self.statuses, self.gate = [], [], [], threading.Event()
        self.gate.set()
        super().__init__(("127.0.0.1", port), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def endpoint(self):
        return "http://127.0.0.1:%d/v1/traces" % self.server_address[1]

    def spans(self, name):
        return [span for request in list(self.requests) for resource in request.resource_spans
                for scope in scopes(resource) for span in scope.spans if span.name == name]


def scopes(resource):
    """Two wheels bring this module, of two ages; the one that was installed last gives the field its name."""
    current = "scope_spans" in resource.DESCRIPTOR.fields_by_name
    return resource.scope_spans if current else resource.instrumentation_library_spans


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.gate.wait(30)
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        if status == 200:
            self.server.headers.append((self.path, dict(self.headers)))
            self.server.requests.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def collector():
    server = Collector()
    yield server
    server.gate.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def traced(plane, new_weir, collector):
    def make(endpoint=None, **options):
        return new_weir({"upstreams": {"primary": upstream("delta", plane.address)},
                         "tracing": {"otlp": {"endpoint": endpoint or collector.endpoint, **options}}})

    return make


def attributes(span):
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in span.attributes}


def test_a_push_is_a_trace_from_receipt_to_the_last_ack(plane, traced, collector, connect):
    plane.set(CDS, [xds.cluster("a")], version="1")
    relay = traced(headers={"x-token": "t"}, service_name="relay")
    clients = [connect(relay, protocol, node=xds.node(protocol)) for protocol in ("sotw", "delta")]
    for client in clients:
        client.subscribe(CDS)
        client.converge(CDS, plane.expected(CDS))
    plane.update(CDS, [xds.cluster("b"), xds.cluster("a", 2)], version="2")
    push = eventually(lambda: next((s for s in collector.spans("weir.push") if attributes(s)["weir.version"] == "2"),
                                   None), "the trace of the push")
    facts = attributes(push)
    assert (facts["weir.key"], facts["weir.type"], facts["weir.upstream"]) == ("web", "cds", "primary")
    assert (facts["weir.outcome"], facts["weir.responses"], facts["weir.acknowledged"]) == ("sent", 2, True)
    assert (facts["weir.resources.added"], facts["weir.resources.changed"]) == (1, 1)
    history = relay.json("/history?key=web&type=cds")["pushes"]
    assert facts["weir.push.id"] in [entry["id"] for entry in history if entry["version"] == "2"]
    # One trace of nested spans, in their order.
    parts = [next(s for s in collector.spans(name) if s.trace_id == push.trace_id)
             for name in ("diff", "fan-out", "acknowledge")]
    assert len(push.trace_id) == 16 and len(push.span_id) == 8 and not push.parent_span_id
    assert all(part.parent_span_id == push.span_id for part in parts)
    times = [push.start_time_unix_nano] + [t for p in parts for t in (p.start_time_unix_nano, p.end_time_unix_nano)]
    assert times == sorted(times) and times[0] == times[1] and times[-1] == push.end_time_unix_nano
    path, headers = collector.headers[0]
    assert path == "/v1/traces" and headers["Content-Type"] == "application/x-protobuf" and headers["x-token"] == "t"
    resource = {a.key: a.value.string_value for a in collector.requests[0].resource_spans[0].resource.attributes}
    assert resource["service.name"] == "relay" and resource["service.version"] and resource["service.instance.id"]
    assert relay.metric("weir_trace_spans_total", outcome="sent") >= 4


def test_a_rejected_push_bears_the_reason(plane, traced, collector, connect):
    plane.set(CDS, [xds.cluster("a")], version="1")
    relay = traced()
    client = connect(relay, "sotw", node=xds.node("stubborn"), auto_ack=False)
    client.subscribe(CDS)
    client.ack(client.expect(CDS))
    plane.update(CDS, [xds.cluster("b")], version="2")
    client.nack(client.expect(CDS), "no good")
    push = eventually(lambda: next((s for s in collector.spans("weir.push") if attributes(s)["weir.version"] == "2"),
                                   None), "the trace of the push")
    assert push.status.code == Status.STATUS_CODE_ERROR and push.status.message == "rejected by 1 stream"
    [event] = push.events
    assert event.name == "nack" and attributes(event) == {"weir.node.id": "stubborn", "weir.nack.message": "no good"}


def test_a_first_request_is_a_trace_from_the_streams_opening_to_its_first_response(plane, traced, collector, connect):
    plane.set(CDS, [xds.cluster("a")])
    relay = traced()
    client = connect(relay, "delta", node=xds.node("n"))
    client.subscribe(CDS)
    client.expect(CDS)
    span = eventually(lambda: next(iter(collector.spans("weir.first_request")), None), "the span")
    facts = attributes(span)
    assert span.kind == Span.SPAN_KIND_SERVER and span.end_time_unix_nano > span.start_time_unix_nano
    assert (facts["weir.node.id"], facts["weir.key"], facts["weir.protocol"]) == ("n", "web", "delta")
    assert facts["weir.types"] == "cds" and span.status.code == Status.STATUS_CODE_UNSET
    # One that nobody answers has failed.
    other = connect(relay, "delta", node=xds.node("quitter"))
    other.subscribe(CDS + "None", "x")
    eventually(lambda: any(c["node"] == "quitter" for c in relay.clients()), "the stream")
    other.close()
    failed = eventually(lambda: next((s for s in collector.spans("weir.first_request")
                                      if attributes(s)["weir.node.id"] == "quitter"), None), "its span")
    assert failed.status.code == Status.STATUS_CODE_ERROR and failed.status.message


def test_nothing_is_traced_unless_it_is_asked_for(plane, traced, collector, connect):
    plane.set(CDS, [xds.cluster("a")])
    relay = traced(sample=0)
    client = connect(relay, "delta")
    client.subscribe(CDS)
    client.converge(CDS, plane.expected(CDS))
    plane.update(CDS, [xds.cluster("b")])
    client.converge(CDS, plane.expected(CDS))
    relay.stop()
    assert collector.requests == []


def test_a_collector_that_refuses_once_is_asked_again(plane, traced, collector, connect):
    collector.statuses.append(503)
    plane.set(CDS, [xds.cluster("a")])
    relay = traced()
    client = connect(relay, "delta")
    client.subscribe(CDS)
    client.converge(CDS, plane.expected(CDS))
    eventually(lambda: collector.spans("weir.first_request"), "the span, the second time")


def test_a_collector_that_is_away_costs_nothing_and_is_counted(plane, traced, connect):
    plane.set(CDS, [xds.cluster("a")])
    relay = traced(endpoint=f"http://127.0.0.1:{free_port()}/v1/traces")
    client = connect(relay, "delta")
    client.subscribe(CDS)
    client.converge(CDS, plane.expected(CDS))
    eventually(lambda: relay.metric("weir_trace_spans_total", outcome="failed") >= 1, "the failure")
    relay.wait_log("spans not exported")


def test_a_collector_that_does_not_answer_holds_nobody_up(plane, traced, collector, connect):
    collector.gate.clear()
    plane.set(CDS, [xds.cluster("a")])
    relay = traced()
    client = connect(relay, "delta")
    client.subscribe(CDS)
    for timeout in range(1, 6):
        plane.update(CDS, [xds.cluster("a", timeout)])
        client.converge(CDS, plane.expected(CDS))
    assert relay.json("/live") == {"live": True, "stuck": []}
    # And the relay stops in time.
    relay.stop()
