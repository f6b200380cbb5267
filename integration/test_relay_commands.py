"""Commands that ask a running relay, or tell it what to do: `weir status` and its like."""

import http.server
import json
import os
import pty
import re
import socket
import socketserver
import subprocess
import threading

import pytest

from weirtest import xds
from weirtest.ports import free_port
from weirtest.waiting import eventually
from weirtest.weir import BINARY, command, upstream
from weirtest.xds import CDS, EDS

pytestmark = pytest.mark.relay_only


def ask(relay, *arguments, status=0, **options):
    """What a command prints, split into the words of its lines."""
    result = command(*arguments, "--admin", relay.admin, **options)
    assert result.returncode == status, (result.stdout, result.stderr)
    return result.stdout if status == 0 else result.stderr


def rows(text):
    return [line.split() for line in text.splitlines()]


@pytest.fixture
def world(plane):
    with plane.atomic():
        plane.set(CDS, [xds.cluster(name) for name in "ab"], version="clusters-7")
        plane.set(EDS, [xds.endpoints(name, 1) for name in "ab"], version="endpoints-9")
    return plane


@pytest.fixture
def clients(world, relay, connect):
    made = [connect(relay, protocol, node=xds.node(f"{protocol}-1")) for protocol in ("sotw", "delta")]
    for client in made:
        client.subscribe(CDS)
        client.expect(CDS)
    made[1].subscribe(EDS, "a")
    made[1].expect(EDS)
    eventually(lambda: all(t["state"] == "acked" for c in relay.clients() for t in c["types"].values()),
               "every response to be acknowledged")
    return made


# --- Against a relay.


def test_status_is_one_screen_with_what_is_wrong_at_the_top(world, relay, clients):
    lines = ask(relay, "status").splitlines()
    assert re.match(rf"weir \S+ at http://{re.escape(relay.admin)}: LIVE for \d+s, 2 workers, ", lines[0]), lines
    table = rows("\n".join(lines))
    assert ["primary", "delta", "1", world.address, "connected"] == [line for line in table if line[:1] == ["primary"]][0][:5]
    assert "2 clients in 1 key, 2 SYNCED" in lines
    assert ["sotw-1", "web", "SYNCED", "-", "sotw"] in [line[:5] for line in table]
    assert ["delta-1", "web", "SYNCED", "SYNCED", "delta"] in [line[:5] for line in table]
    assert "\x1b" not in "".join(lines), "no colours where there is no terminal"

    world.stop()
    eventually(lambda: relay.json("/ready")["degraded"], "the loss of the upstream to show")
    assert ask(relay, "status").splitlines()[1].startswith("degraded: upstream primary: ")


def test_status_shows_who_rejects_what_with_the_message(world, relay, connect):
    client = connect(relay, "sotw", node=xds.node("stubborn"), auto_ack=False)
    client.subscribe(EDS, "a")
    client.nack(client.expect(EDS), "no good\x1b[31m")
    eventually(lambda: relay.clients()[0]["types"]["eds"]["state"] == "nacked", "the rejection to show")
    text = ask(relay, "status")
    assert "1 NACK" in text and re.search(r"NACK stubborn: eds version \S+ at \S+: .*no good", text)
    assert "\x1b" not in text
    assert ["stubborn"] in [line[:1] for line in rows(ask(relay, "status", "--unsynced"))]
    answer = json.loads(ask(relay, "status", "--json"))
    assert set(answer) == {"server_info", "ready", "upstreams", "clients"}
    assert answer["clients"][0]["types"]["eds"]["nack"] == relay.clients()[0]["types"]["eds"]["nack"]


def test_status_of_a_relay_that_drains(relay):
    assert ask(relay, "drain") == "draining\n"
    assert ": DRAINING for" in ask(relay, "status")


def test_keys_clients_and_dump(world, relay, clients):
    keys = rows(ask(relay, "keys"))
    assert keys[0][:5] == ["KEY", "UPSTREAM", "STATE", "TYPE", "VERSION"]
    assert ["web", "primary", "connected", "cds", "clusters-7", "2"] == keys[1][:6]
    assert ask(relay, "keys", "none") == "no keys\n"
    streams = rows(ask(relay, "clients", "--node", "delta-1"))
    assert [line[-5:] for line in streams[1:]] == [
        ["cds", "SYNCED", "clusters-7", "clusters-7", "*"], ["eds", "SYNCED", "endpoints-9", "endpoints-9", "a"]]
    dump = rows(ask(relay, "dump", "web", "cds"))
    assert [line[:3] for line in dump[1:]] == [["web", "envoy.config.cluster.v3.Cluster", name] for name in "ab"]
    assert '"connect_timeout": "1s"' in ask(relay, "dump", "--name", "a", "--type", "cds")


@pytest.mark.parametrize("arguments, path", [
    (["keys"], "/keys"), (["clients", "--key", "web"], "/clients?key=web"),
    (["dump", "--type", "eds"], "/config_dump?type=eds"),
], ids=["keys", "clients", "dump"])
def test_json_is_the_endpoints_own(relay, clients, arguments, path):
    assert ask(relay, *arguments, "--json") == relay.get(path)[2]


def test_hold_release_rollback_refresh_and_evict(world, relay, clients):
    held = ask(relay, "hold", "web", "cds")
    assert held == 'held: cds of key "web" at version clusters-7\n'
    world.set(CDS, [xds.cluster("c")], version="clusters-8")
    eventually(lambda: relay.keys()["web"]["types"]["cds"]["held"]["changes"], "the push to be held")
    keys = ask(relay, "keys")
    assert "operator" in keys and "held (operator): cds of web, version clusters-8" in keys
    for client in clients:
        client.quiet()
    assert ask(relay, "release", "--key", "web", "--type", "cds").startswith("released: cds of key")
    for client in clients:
        client.converge(CDS, world.expected(CDS))
    eventually(lambda: relay.keys()["web"]["types"]["cds"]["pending"] == 0, "the ACKs")
    back = ask(relay, "rollback", "web", "cds", "clusters-7")
    assert back == 'rolled back: cds of key "web" to version clusters-7, and held there\n'
    assert json.loads(ask(relay, "release", "web", "cds", "--json"))["version"]
    assert ask(relay, "refresh", "web") == 'refreshing key "web"\n'
    assert "streams" in ask(relay, "evict", "web", status=1)
    assert "none" in ask(relay, "release", "none", "cds", status=1)


def test_history_difference_and_events_of_a_push(world, relay, clients):
    watcher = subprocess.Popen(
        [str(BINARY), "events", "--follow", "--limit", "1", "--kind", "push", "--json", "--admin", relay.admin],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        eventually(lambda: relay.metric("weir_event_listeners") == 1, "the listener")
        world.update(CDS, [xds.cluster("c"), xds.cluster("a", 9)], version="clusters-8")
        for client in clients:
            client.converge(CDS, world.expected(CDS))
        output, _ = watcher.communicate(timeout=10)
    finally:
        watcher.kill()
    event = json.loads(output)
    assert (event["event"], event["key"], event["type"], event["version"]) == ("push", "web", "cds", "clusters-8")
    eventually(lambda: relay.json("/history?key=web&type=cds")["pushes"][0]["acked_ms"], "the last ACK")
    line = rows(ask(relay, "history", "web", "cds", "--limit", "1"))[1]
    assert line[1:6] == [event["push"], "web", "cds", "clusters-8", "primary"]
    assert line[6:10] == ["1", "1", "0", "sent"] and line[10].endswith("ms") and line[11].endswith("ms")
    diff = ask(relay, "diff", "web", "cds").splitlines()
    assert diff[0] == "cds of web: clusters-7 -> clusters-8" and diff[1:3] == ["+ c", "~ a"]
    assert '    connect_timeout: "1s" -> "9s"' in diff


def test_explain_asks_the_rules_in_force(relay, tmp_path):
    path = tmp_path / "node.json"
    path.write_text(json.dumps({"id": "n", "cluster": "web & more", "metadata": {"a": {"b": 1}}}))
    assert ask(relay, "explain", "--node", path).splitlines()[:1] == ["key: web%20%26%20more"]
    assert json.loads(ask(relay, "explain", "--node", path, "--json"))["upstream"] == "primary"
    path.write_text(json.dumps({"id": "n"}))
    result = command("explain", "--admin", relay.admin, "--node", path)
    assert result.returncode == 1 and "no rule matched" in result.stdout


def test_a_token_is_shown_where_one_is_asked_for(world, relay_to, tmp_path):
    (tmp_path / "tokens").write_text("# for tests\nalice s3cret\n")
    relay = relay_to(world, "delta", {"admin": {"token_file": "tokens"}})
    denied = command("keys", "--admin", relay.admin)
    assert denied.returncode == 1 and "--token-file or WEIR_TOKEN_FILE" in denied.stderr
    assert command("keys", "--admin", relay.admin, "--token-file", tmp_path / "tokens").returncode == 0
    environment = {"WEIR_ADMIN": f"http://{relay.admin}/", "WEIR_TOKEN_FILE": str(tmp_path / "tokens")}
    assert command("keys", environment=environment).returncode == 0


def test_tls_needs_an_authority_that_signed_the_certificate(world, new_weir, certificates, tmp_path):
    files = {"certificate_chain": str(certificates.server.certificate), "private_key": str(certificates.server.key)}
    relay = new_weir({"upstreams": {"primary": upstream("delta", world.address)}, "admin": {"tls": files}}, start=False)
    relay.start(wait=False)
    url = f"https://{relay.admin}"
    eventually(lambda: command("keys", "--admin", url, "--ca", certificates.ca.certificate).returncode == 0, "the endpoint")
    for arguments in ([], ["--ca", certificates.wrong_ca.certificate]):
        result = command("keys", "--admin", url, *arguments)
        assert result.returncode == 1 and "cannot be trusted" in result.stderr and "--ca FILE" in result.stderr
    result = command("keys", "--admin", url, "--ca", tmp_path / "none")
    assert result.returncode == 1 and "none" in result.stderr


# --- Against a scripted endpoint, for what a relay does not do on demand.


class Endpoint(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """Answers from a table of functions; keeps what it was asked."""

    daemon_threads = True

    def __init__(self, answers, family=None, address=("127.0.0.1", 0)):
        self.answers, self.asked = answers, []
        if family:
            self.address_family = family
        super().__init__(address, Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def server_bind(self):
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "x", 0

    @property
    def url(self):
        return "http://127.0.0.1:%d" % self.server_address[1]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path, _, query = self.path.partition("?")
        self.server.asked.append(self.path)
        body = self.server.answers[path](query)
        if isinstance(body, tuple):
            status, body = body
        else:
            status = 200
        self.send_response(status)
        self.end_headers()
        for part in body if isinstance(body, list) else [body]:
            self.wfile.write(part.encode())
            self.wfile.flush()

    def address_string(self):
        return "x"

    def log_message(self, *_):
        pass


@pytest.fixture
def endpoint():
    made = []

    def make(answers, **options):
        made.append(Endpoint(answers, **options))
        return made[-1]

    yield make
    for server in made:
        server.shutdown()
        server.server_close()


def test_pages_are_followed_to_the_end(endpoint):
    pages = {"": ("1", "p/2"), "cursor=p%2F2": ("2", "3"), "cursor=3": ("3", None)}

    def keys(query):
        name, following = pages[query]
        return json.dumps({"keys": [{"key": name, "types": {}}], **({"next_cursor": following} if following else {})})

    server = endpoint({"/keys": keys})
    result = command("keys", "--admin", server.url)
    assert [line[0] for line in rows(result.stdout)] == ["KEY", "1", "2", "3"]
    joined = json.loads(command("keys", "--admin", server.url, "--json").stdout)
    assert joined == {"keys": [{"key": key, "types": {}} for key in "123"]}


def test_what_a_stuck_worker_knows_is_said_to_be_missing(endpoint):
    server = endpoint({"/keys": lambda query: '{"keys":[],"next_cursor":null,"missing_workers":[1]}'})
    result = command("keys", "--admin", server.url)
    assert (result.returncode, result.stdout) == (1, "no keys\n") and "no answer from worker 1" in result.stderr


def test_explain_of_a_connected_client(endpoint):
    def explain(query):
        if "format=text" in query:
            return "key: web\nclient: a\x1b[2J\n"
        return '{"key":"web","clients":[]}\n'

    server = endpoint({"/explain": explain})
    result = command("explain", "--client", "a b", "--type", "cds", "--admin", server.url)
    assert (result.returncode, result.stdout) == (0, "key: web\nclient: a\\u{1b}[2J\n")
    assert server.asked[0] == "/explain?node=a%20b&type=cds"


def test_history_asks_for_as_many_as_are_wanted(endpoint):
    pushes = [{"id": i, "key": "web", "type": "cds", "outcome": "sent", "added": ["a"], "nacks": []} for i in range(9)]
    server = endpoint({"/history": lambda query: json.dumps({"pushes": pushes, "next_cursor": "more"})})
    assert len(rows(command("history", "web", "--limit", "2", "--admin", server.url).stdout)) == 3
    assert server.asked == ["/history?key=web&limit=2"]


def test_diff(endpoint):
    diff = {"from": "1", "to": "2", "added": ["n"], "removed": [], "changed": [
        {"name": "a", "fields": [{"path": "lb_policy", "from": "RANDOM", "to": "MAGLEV"}]}]}
    server = endpoint({"/diff": lambda query: json.dumps(diff)})
    result = command("diff", "web", "cds", "--from", "1", "--admin", server.url)
    assert result.stdout.splitlines() == ["cds of web: 1 -> 2", "+ n", "~ a", '    lb_policy: "RANDOM" -> "MAGLEV"']
    assert server.asked == ["/diff?key=web&type=cds&from=1"]


def event(kind, **data):
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n"


def test_events_are_printed_as_they_come_and_the_stream_is_taken_up_again(endpoint):
    rounds = [[": hello\n\n", event("push", at="T1", key="web", type="cds", version="8")], (503, "{}"),
              [event("ack", at="T2", node="n"), event("nack", at="T3", node="n", detail="no")]]
    server = endpoint({"/events": lambda query: rounds.pop(0) if len(rounds) > 1 else rounds[0]})
    result = command("events", "--follow", "--limit", "3", "--key", "web", "--admin", server.url)
    assert result.returncode == 0, result.stderr
    assert [line[:2] for line in rows(result.stdout)] == [["T1", "push"], ["T2", "ack"], ["T3", "nack"]]
    assert server.asked == ["/events?key=web"] * 3


def test_events_as_json_of_some_kinds(endpoint):
    events = [event("ack", at="T", node="n"), event("nack", at="T", node="n", detail="no"), event("dropped", count=3)]
    server = endpoint({"/events": lambda query: events})
    result = command("events", "--kind", "nack", "--json", "--for", "5s", "--admin", server.url)
    assert [json.loads(line) for line in result.stdout.splitlines()] == [
        {"event": "nack", "at": "T", "node": "n", "detail": "no"}, {"event": "dropped", "count": 3}]
    assert server.asked == ["/events?kind=nack"]


def test_events_end_when_their_time_is_over(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def serve():
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + event("push", at="T").encode())
                connection.recv(1)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        result = command("events", "--for", "300ms", "--admin", "127.0.0.1:%d" % listener.getsockname()[1])
        assert result.returncode == 0 and result.stdout.split() == ["T", "push"], result.stderr
        thread.join(10)


def test_errors_say_what_would_be_right(endpoint):
    nobody = command("keys", "--admin", f"127.0.0.1:{free_port()}")
    assert nobody.returncode == 1 and "Connection refused" in nobody.stderr and "WEIR_ADMIN" in nobody.stderr
    server = endpoint({
        "/keys": lambda query: (400, json.dumps({"error": "there is no such thing"})),
        "/clients": lambda query: "<html>", "/history": lambda query: (404, "not here")})
    assert "there is no such thing" in command("keys", "--admin", server.url).stderr
    assert "no JSON" in command("clients", "--admin", server.url).stderr
    assert "status 404" in command("history", "--admin", server.url).stderr
    with socket.create_server(("127.0.0.1", 0)) as silent:
        late = command("keys", "--timeout", "200ms", "--admin", "127.0.0.1:%d" % silent.getsockname()[1])
    assert late.returncode == 1 and "did not answer in time" in late.stderr


def test_a_unix_socket_will_do(endpoint, tmp_path):
    path = str(tmp_path / "admin.sock")
    endpoint({"/keys": lambda query: '{"keys":[]}'}, family=socket.AF_UNIX, address=path)
    result = command("keys", "--admin", f"unix://{path}")
    assert result.stdout == "no keys\n", result.stderr


def on_terminal(*arguments, **environment):
    """What a command prints to a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [str(BINARY), *arguments], stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs,
        env={**{k: v for k, v in os.environ.items() if k != "NO_COLOR"}, "TERM": "xterm", **environment})
    os.close(theirs)
    text = b""
    try:
        while part := os.read(ours, 4096):
            text += part
    except OSError:
        pass
    os.close(ours)
    assert process.wait(10) == 0, text
    return text.decode()


def test_colours_are_for_terminals_and_can_be_declined(endpoint):
    server = endpoint({"/keys": lambda query: json.dumps({"keys": [
        {"key": "web", "upstream": {"name": "p", "state": "connected"}, "types": {}}]})})
    assert "\x1b[1mKEY\x1b[0m" in on_terminal("keys", "--admin", server.url)
    assert "\x1b" not in on_terminal("keys", "--admin", server.url, NO_COLOR="1")
    assert "\x1b" not in on_terminal("keys", "--admin", server.url, TERM="dumb")
    assert "\x1b" not in command("keys", "--admin", server.url).stdout


# --- The manual.


def test_the_manual_page_is_what_man_takes():
    page = command("man").stdout
    result = subprocess.run(["groff", "-man", "-Tutf8", "-ww"], input=page, capture_output=True, text=True, timeout=20)
    assert result.returncode == 0 and result.stderr == "", result.stderr
    text = re.sub(r"\x1b\[[0-9;]*m|.\x08", "", result.stdout)
    for word in ("weir status", "--unsynced", "WEIR_ADMIN", "EXIT STATUS"):
        assert word in text
