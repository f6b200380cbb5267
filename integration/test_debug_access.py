"""Who may use the debug endpoint: tokens, TLS, what is audited, and what is warned of."""

import json
import shutil
import ssl
import urllib.error
import urllib.request

import pytest

from weirtest import weir as weir_module
from weirtest import xds
from weirtest.waiting import eventually
from weirtest.xds import CDS

pytestmark = pytest.mark.relay_only


@pytest.fixture
def world(plane):
    plane.set(CDS, [xds.cluster("a")])
    return plane


def ask(url, token=None, method="GET", context=None):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(url, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=5, context=context) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def audits(relay):
    return [line for line in relay.log.splitlines() if " audit " in line]


def test_what_changes_something_is_audited(world, relay_to):
    relay = relay_to(world, "delta")
    relay.get("/keys")
    assert audits(relay) == []
    assert relay.get("/logging?level=debug", "POST")[0] == 200
    [line] = eventually(lambda: audits(relay), "the line")
    for part in ("who=anonymous", "method=POST", "path=/logging", "level=debug", "peer=127.0.0.1:"):
        assert part in line


def test_a_token_is_asked_for_and_may_be_changed_at_any_time(world, relay_to, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("# operators\nalice s3cret\nother\n")
    relay = relay_to(world, "delta", {"admin": {"token_file": "tokens"}})
    url = f"http://{relay.admin}"
    # Probes need none, nor do the page's files: they hold nothing, and ask for the token.
    for path in ("/ready", "/live", "/", "/page/page.js"):
        assert ask(url + path)[0] == 200
    for token in (None, "wrong", "s3cre", "s3crett", "alice"):
        for path in ("/overview", "/keys", "/config_dump", "/metrics"):
            assert ask(url + path, token)[0] == 401
        assert ask(f"{url}/drain", token, "POST")[0] == 401
    assert "admin.token_file" in ask(f"{url}/keys")[1] and audits(relay) == []
    assert ask(f"{url}/keys", "s3cret")[0] == 200 and ask(f"{url}/keys", "other")[0] == 200
    assert ask(f"{url}/logging?level=debug", "s3cret", "POST")[0] == 200
    assert "who=alice" in eventually(lambda: audits(relay), "the line")[0]
    assert "s3cret" not in relay.log
    relay.wait_log("debug endpoint: refused")
    assert relay.log.count("debug endpoint: refused") <= 15
    tokens.write_text("alice n3w\n")
    assert ask(f"{url}/keys", "s3cret")[0] == 401 and ask(f"{url}/keys", "n3w")[0] == 200
    tokens.unlink()
    assert ask(f"{url}/keys", "n3w")[0] == 401 and ask(f"{url}/ready")[0] == 200


def test_the_debug_endpoint_over_tls_and_with_a_rotated_certificate(world, new_weir, certificates, tmp_path):
    for part in ("crt", "key"):
        source = certificates.server.certificate if part == "crt" else certificates.server.key
        shutil.copy(source, tmp_path / f"admin.{part}")
    config = {"upstreams": {"primary": weir_module.upstream("delta", world.address)},
              "admin": {"tls": {"certificate_chain": "admin.crt", "private_key": "admin.key"}}}
    relay = new_weir(config, start=False)
    relay.start(wait=False)
    url = f"https://{relay.admin}/ready"

    def answers(ca):
        try:
            return ask(url, context=ssl.create_default_context(cafile=str(ca.certificate)))[0]
        except OSError:
            return None

    eventually(lambda: answers(certificates.ca) == 200, "the endpoint")
    assert answers(certificates.wrong_ca) is None
    old = ssl.create_default_context(cafile=str(certificates.ca.certificate))
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_2
    assert ask(url, context=old)[0] == 200
    # A key that is not the certificate's changes nothing; then the right one comes.
    shutil.copy(certificates.wrong_server.certificate, tmp_path / "admin.crt")
    relay.reload()
    eventually(lambda: "admin.tls not reloaded" in relay.log, "the error")
    assert answers(certificates.ca) == 200
    shutil.copy(certificates.wrong_server.key, tmp_path / "admin.key")
    relay.reload()
    eventually(lambda: answers(certificates.wrong_ca) == 200, "the rotated certificate")


def test_an_endpoint_that_is_open_to_others_is_warned_of(tmp_path):
    (tmp_path / "tokens").write_text("t\n")

    def warnings(admin):
        config = tmp_path / "relay.yaml"
        config.write_text("upstreams: {primary: {servers: ['cp:18000']}}\n"
                          f"aggregation: {{rules: [{{key: k}}]}}\nadmin: {json.dumps(admin)}\n")
        result = weir_module.command("check", "--config", config)
        assert result.stdout == "OK\n"
        return result.stderr

    assert warnings({"address": "127.0.0.1:9901"}) == "" and warnings({"address": "[::1]:9901"}) == ""
    assert "drain the relay" in warnings({"address": "0.0.0.0:9901"})
    assert "in the clear" in warnings({"address": "0.0.0.0:9901", "token_file": "tokens"})
