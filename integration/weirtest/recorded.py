"""Answers of a relay to which something has happened, for the page: in the shapes of docs/debug-endpoint.md."""

KEY, TYPE = "edge/prod/eu-west-1", "cds"
HOSTILE = "<img src=x onerror=\"document.title='taken'\">"

TYPES = {"cds": {
    "version": "17", "resources": 412, "bytes": 220_118, "streams": 40, "acked": 35, "nacked": 1, "pending": 4,
    "updated": "2026-01-31T12:00:00Z", "stale": False, "rollout": None,
    "held": {"reason": "empty", "since": "2026-01-31T12:30:00Z", "version": "18", "changes": 412,
             "detail": "it removes 412 of 412 resources and leaves 0"},
    "history": [{"version": "16", "resources": 411, "updated": "2026-01-31T11:00:00Z"}]}}

GROUP = {"key": KEY, "upstream": {"name": "primary", "server": "10.0.0.1:18000", "state": "connected"}, "stale": False,
         "streams": 40, "types": TYPES}

PUSHES = [
    {"id": "p-00000012", "key": KEY, "type": "cds", "version": "18", "at": "2026-01-31T12:30:00.120Z",
     "upstream": "primary", "added": [], "changed": [], "removed": ["checkout", "search", "users"],
     "outcome": "held_empty", "detail": "it removes 3 of 3 resources and leaves 0", "names_left_out": 409,
     "written_ms": None, "acked_ms": None, "nacks": [], "nack_count": 0},
    {"id": "p-00000011", "key": KEY, "type": "cds", "version": "17", "at": "2026-01-31T12:00:00.004Z",
     "upstream": "primary", "added": ["users"], "changed": ["checkout"], "removed": [], "outcome": "sent",
     "written_ms": 1.25, "acked_ms": 12.5, "nacks": [{"node": HOSTILE, "message": "cluster users: <b>no</b>"}]},
    {"id": "p-00000010", "key": KEY, "type": "cds", "version": "16", "at": "2026-01-31T11:00:00Z",
     "upstream": "primary", "added": ["checkout", "search"], "changed": [], "removed": [], "outcome": "sent",
     "written_ms": 0.8, "acked_ms": 3400.0, "nacks": []},
]

DIFFERENCE = {
    "from": "16", "to": "17", "added": ["users"], "removed": [],
    "changed": [{"name": "checkout", "fields": [
        {"path": "connect_timeout", "from": "1s", "to": "0.250s"},
        {"path": "circuit_breakers.thresholds[0].max_connections", "from": None, "to": 1024},
        {"path": "transport_socket", "from": {"name": "raw"}, "to": None}]}],
}

EVENTS = [
    ("connect", {"at": "2026-01-31T12:00:00.001Z", "node": HOSTILE, "detail": "10.1.2.3:40000"}),
    ("request", {"at": "2026-01-31T12:00:00.002Z", "node": HOSTILE, "key": KEY, "type": "cds"}),
    ("push", {"at": "2026-01-31T12:00:00.004Z", "key": KEY, "type": "cds", "version": "17", "push": "p-00000011"}),
    ("response", {"at": "2026-01-31T12:00:00.005Z", "node": HOSTILE, "key": KEY, "type": "cds", "version": "17",
                  "nonce": "7", "push": "p-00000011"}),
    ("nack", {"at": "2026-01-31T12:00:00.009Z", "node": HOSTILE, "key": KEY, "type": "cds", "version": "17",
              "nonce": "7", "detail": "cluster users: <b>no</b>"}),
    ("hold", {"at": "2026-01-31T12:30:00.120Z", "key": KEY, "type": "cds", "version": "18", "detail": "empty"}),
]


def clients(count=1):
    return [{"node": HOSTILE if number == 0 else f"edge-{number:04}", "cluster": "edge", "peer": f"10.1.2.3:{40000 + number}",
             "key": KEY, "service": "ads", "protocol": "delta", "since": "2026-01-31T12:00:00Z",
             "types": {"cds": {"subscribed": "*", "sent": "17", "acked": "16", "state": "nacked", "nack": {
                 "version": "17", "message": "cluster users: <b>no</b>", "at": "2026-01-31T12:00:00.009Z"}}}}
            for number in range(count)]


def answers():
    """Every path that the page asks for."""
    minutes = range(300)
    return {
        "/ready": {"state": "LIVE", "degraded": [
            "upstream backup: 10.0.0.2:18000: connection refused",
            f'cds of key "{KEY}" is held (empty) for 42 s: it removes 412 of 412 resources and leaves 0']},
        "/live": {"live": True, "stuck": []},
        "/server_info": {"version": "0.1.0", "state": "LIVE", "uptime_seconds": 93_784, "pid": 4711, "workers": 4,
                         "config": "/etc/weir/relay.yaml"},
        "/upstreams": {"upstreams": [
            {"name": "primary", "protocol": "delta", "streams": 3, "servers": [
                {"address": "10.0.0.1:18000", "state": "connected", "last_error": "",
                 "connected_since": "2026-01-31T09:00:00Z"}]},
            {"name": "backup", "protocol": "sotw", "streams": 0, "servers": [
                {"address": "10.0.0.2:18000", "state": "failed", "last_error": "connection refused",
                 "connected_since": None}]}]},
        "/overview": {
            "groups": 318, "streams": 9_874, "resources": 104_212, "bytes": 48_310_118, "stale_groups": 0,
            "disconnected_groups": 0, "subscriptions": {"total": 39_400, "acked": 39_216, "pending": 183, "nacked": 1},
            "holds": 1, "held": [{"key": KEY, "type": "cds", "held": TYPES["cds"]["held"]}],
            "concerns": 1, "attention": [GROUP]},
        "/activity": {
            "until": "2026-01-31T12:31:00Z", "interval_seconds": 1,
            "requests": [n % 40 for n in minutes], "responses": [900 * (n % 17 == 0) + n % 7 for n in minutes],
            "acks": [900 * (n % 17 == 1) + n % 7 for n in minutes], "nacks": [3 * (n == 204) for n in minutes],
            "pushes": [1 if n % 17 == 0 else 0 for n in minutes],
            "push_ms": [[0.4 + n % 5, 2.0 + n % 13] if n % 17 == 0 else None for n in minutes],
            "convergence_ms": [[8.0 + n % 9, 30.0 + n % 90] if n % 17 == 0 else None for n in minutes]},
        "/keys": {"keys": [GROUP]},
        "/clients": {"clients": clients()},
        "/config_dump": {"resources": [{
            "key": KEY, "type_url": "type.googleapis.com/envoy.config.cluster.v3.Cluster", "name": "checkout",
            "version": "17", "updated": "2026-01-31T12:00:00Z", "resource": {
                "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster", "name": "checkout",
                "connect_timeout": "0.250s", "metadata": {"note": HOSTILE}}}]},
        "/history": {"pushes": PUSHES},
        "/diff": DIFFERENCE,
        "/events": EVENTS,
        "/explain": {"key": KEY, "rule": "edge", "upstream": "primary", "captures": {"env": "prod"},
                     "rejected": [{"rule": "canary", "reason": "node.metadata.tier is missing"}],
                     "clients": [{"peer": "10.1.2.3:40000", "types": {"cds": {
                         "waiting": None, "resources": {"missing": 1}, "missing": [{
                             "name": "users", "reason": "held", "detail": "empty: it removes 412 of 412 resources"}]}}}]},
    }
