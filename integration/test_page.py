"""The page for people, in a real Chromium: what it shows, that it can be used by anybody, and that nobody misuses it.

Pictures of it are kept in integration/artifacts/page.
"""

import http.client
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from weirtest import recorded, xds
from weirtest.browser import Browser, Keys
from weirtest.pageserver import FILES, PageServer
from weirtest.waiting import eventually, never
from weirtest.weir import ROOT
from weirtest.xds import CDS, EDS, LDS, RDS

pytestmark = pytest.mark.relay_only

PICTURES = ROOT / "integration" / "artifacts" / "page"
PHONE = 360
VIEWS = ["", "groups", f"group?key={recorded.KEY}", "clients", f"client?node={urllib.parse.quote(recorded.HOSTILE)}",
         f"resources?key={recorded.KEY}", f"resource?key={recorded.KEY}&type=cds&name=checkout&find=checkout", "changes",
         f"diff?key={recorded.KEY}&type=cds&from=16&to=17", "events", "explain?node.id=a"]


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()


@pytest.fixture
def browser(chromium):
    """On a desk, in the light, for the first time."""
    return chromium.fresh()


@pytest.fixture
def fake():
    """A maker of stand-ins for relays to which much has happened: `fake({path: answer})`."""
    made = []

    def make(**changes):
        answers = recorded.answers()
        answers.update({"/" + path: answer for path, answer in changes.items()})
        made.append(PageServer(answers))
        return made[-1]

    yield make
    for server in made:
        server.stop()


@pytest.fixture
def demo(new_weir, connect):
    """The resource files of the demo, and two proxies that follow them."""
    relay = new_weir({"upstreams": {"demo": {"files": {"path": str(ROOT / "configs" / "resources")}}}})
    for number in (1, 2):
        client = connect(relay, "sotw" if number == 1 else "delta", node=xds.node(f"proxy-{number}", "demo"))
        client.subscribe(CDS), client.subscribe(LDS)
        client.subscribe(EDS, "envoy-admin"), client.subscribe(RDS, "web-routes")
    eventually(lambda: len(relay.clients()) == 2 and all(
        type["state"] == "acked" for client in relay.clients() for type in client["types"].values()), "all ACKs")
    return relay


def url(relay, view=""):
    base = relay.url if hasattr(relay, "url") else f"http://{relay.admin}"
    return f"{base}/#/{view}" if view else f"{base}/"


def is_clean(browser, relay):
    """Nothing was complained about, and nothing asked for elsewhere."""
    assert browser.problems() == []
    elsewhere = [asked for asked in browser.requests()
                 if not asked.startswith((url(relay), "data:", "about:", "chrome"))]
    assert elsewhere == []


def follow(browser, text):
    browser.find("main a", text).click()


def test_from_the_overview_down_to_a_resource(browser, demo):
    browser.open(url(demo))
    browser.see("Overview", "In sync\n8", "Client streams\n2", "Groups\n1", "demo", "files", "connected",
                "Nothing to look at: every group is in sync.", "Responses sent")
    assert browser.text("#state").startswith("live") and "weir " in browser.text("#server")
    eventually(lambda: browser.script("return document.querySelectorAll('.plot path.good[d]').length") > 0,
               "the plots to have the responses that were sent before the page came")
    browser.picture(PICTURES / "overview.png")
    follow(browser, "All groups")
    follow(browser, "demo")
    browser.see("TYPES", "cds", "2 in sync", "proxy-1", "proxy-2", selector="main")
    browser.picture(PICTURES / "group.png")
    follow(browser, "proxy-2")
    browser.see("ADS DELTA", "in sync", "web-routes", "WHY THIS GROUP", "rules[0]")
    browser.picture(PICTURES / "client.png")
    follow(browser, "web-routes")
    browser.see("rds of demo", "virtual_hosts", "Hello from a route that came through weir.")
    field = browser.find("main input[name=find]")
    field.send_keys("hello", Keys.ENTER)
    browser.see("1 place in it.")
    assert browser.text("mark") == "Hello"
    browser.picture(PICTURES / "resource.png")
    is_clean(browser, demo)


def test_what_it_shows_moves_with_the_relay_and_keeps_the_focus(browser, demo, connect):
    browser.open(url(demo))
    browser.see("Client streams\n2")
    browser.script("document.querySelector('main a').focus(); window.kept = document.activeElement")
    newcomer = connect(demo, node=xds.node("proxy-3", "elsewhere"))
    newcomer.subscribe(CDS)
    browser.see("Client streams\n3", "Groups\n2")
    assert browser.script("return window.kept === document.activeElement && window.kept.isConnected")
    is_clean(browser, demo)


def test_rows_come_and_go_around_the_focus(browser, fake):
    everyone = recorded.clients(6)
    # Two streams that nothing tells apart are two rows all the same.
    shown = [everyone[1], everyone[2], everyone[2], everyone[3]]
    server = fake(clients=lambda query: {"clients": shown})
    browser.open(url(server, "clients"))
    browser.see("edge-0003")
    rows = "return [...document.querySelectorAll('main tbody th')].map((each) => each.innerText)"
    assert browser.script(rows) == ["edge-0001", "edge-0002", "edge-0002", "edge-0003"]
    browser.press("k")
    assert browser.focused == ["a", "edge-0003"]
    shown[:] = [everyone[2], everyone[2], everyone[4], everyone[3], everyone[5]]
    browser.press("p", "p")
    browser.see("edge-0005")
    assert browser.script(rows) == ["edge-0002", "edge-0002", "edge-0004", "edge-0003", "edge-0005"]
    assert browser.focused == ["a", "edge-0003"]
    is_clean(browser, server)


def test_by_keyboard_alone(browser, demo):
    browser.open(url(demo))
    browser.see("Overview", "Responses sent")
    browser.press(Keys.TAB)
    assert browser.focused == ["a", "Skip to content"]
    assert browser.script("return getComputedStyle(document.activeElement).outlineStyle") != "none"
    browser.press(Keys.ENTER)
    assert browser.focused[0] == "main"
    browser.press("?")
    browser.see("Keyboard", "clients", selector="dialog")
    browser.picture(PICTURES / "keyboard.png", whole=False)
    browser.press(Keys.ESCAPE)
    eventually(lambda: not browser.script("return document.querySelector('dialog')"), "the list to close")
    browser.press("g", "c")
    browser.see("Clients", "proxy-1", "proxy-2")
    eventually(lambda: browser.focused == ["h1", "Clients"], "the new view's heading to have the focus")
    browser.press("j")
    # Clients stand by worker; each of the two may come first.
    first = browser.focused[1]
    assert browser.focused[0] == "a" and first in ("proxy-1", "proxy-2")
    browser.press("j")
    assert browser.focused == ["a", "proxy-2" if first == "proxy-1" else "proxy-1"]
    browser.press("k", Keys.ENTER)
    browser.see("ADS SOTW" if first == "proxy-1" else "ADS DELTA")
    browser.press("u")
    browser.see("proxy-2")
    browser.press("/")
    assert browser.focused == ["input", "find"]
    # Letters are letters in a field.
    browser.press("proxy-2?", Keys.BACKSPACE, Keys.ENTER)
    eventually(lambda: "proxy-1" not in browser.text("main") and "proxy-2" in browser.text("main"), "the filter")
    browser.press(Keys.ESCAPE, "p")
    assert browser.script("return document.getElementById('pause').ariaPressed") == "true"
    # Everything that can be used is reached by the tabulator, in the order of the page, and shows that it is.
    browser.press("p", "g", "o")
    browser.see("Responses sent")
    browser.driver.refresh()
    browser.see("Responses sent")
    seen, places = [], []
    for _ in range(40):
        browser.press(Keys.TAB)
        if browser.focused[0] == "body":
            break
        seen.append(browser.focused[1])
        places.append(browser.script("""
            const all = [...document.querySelectorAll('a, button, [tabindex="0"]')];
            return [all.indexOf(document.activeElement), getComputedStyle(document.activeElement).outlineStyle]"""))
    assert {"weir", "Overview", "Groups", "Explain", "Pause", "?", "Drain …", "All groups"} <= set(seen)
    forward = [index for index, _ in places]
    assert forward == sorted(forward) and all(style != "none" for _, style in places)
    is_clean(browser, demo)


LOW_CONTRAST = """
    const canvas = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
    const rgba = (text) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data]; };
    const over = (top, below) => [0, 1, 2].map((i) => (top[i] * top[3] + below[i] * (255 - top[3])) / 255);
    const light = (c) => { const [r, g, b] = c.map((v) => v / 255)
        .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
    const ground = (element) => element === null ? [255, 255, 255]
        : over(rgba(getComputedStyle(element).backgroundColor), ground(element.parentElement));
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement;
        if (!walker.currentNode.data.trim() || !element.checkVisibility() || element.closest('.unseen, svg, noscript')) continue;
        const style = getComputedStyle(element), below = ground(element);
        const [a, b] = [light(over(rgba(style.color), below)), light(below)].sort((x, y) => y - x);
        const size = parseFloat(style.fontSize), isLarge = size >= 24 || size >= 18.6 && style.fontWeight >= 700;
        const ratio = (a + 0.05) / (b + 0.05);
        if (ratio < (isLarge ? 3 : 4.5)) found.push([walker.currentNode.data.trim().slice(0, 40), ratio.toFixed(2)]);
    }
    return found;
"""

UNNAMED = """
    const named = (e) => (e.innerText || e.ariaLabel || e.getAttribute('aria-labelledby') || '').trim()
        || (e.labels && e.labels.length && e.labels[0].innerText.trim());
    const wrong = [...document.querySelectorAll('a, button, input, select')].filter((e) => e.checkVisibility() && !named(e))
        .map((e) => e.outerHTML);
    for (const table of document.querySelectorAll('table')) {
        if (!table.caption || !table.tHead || [...table.querySelectorAll('th')].some((th) => !th.scope))
            wrong.push('a table: ' + table.outerHTML.slice(0, 80));
    }
    if (document.querySelectorAll('h1').length !== 1) wrong.push('h1');
    for (const mark of ['header', 'nav[aria-label]', 'main', 'footer', 'html[lang]', 'a.skip'])
        if (document.querySelectorAll(mark).length !== 1) wrong.push(mark);
    const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
    if (new Set(ids).size !== ids.length) wrong.push('two of one id');
    return wrong;
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_view_fits_a_phone_and_can_be_read(browser, fake, scheme):
    server = fake()
    browser.fresh(PHONE, 740, scheme)
    browser.open(url(server))
    paper = {}
    for view in VIEWS:
        name = view.partition("?")[0] or "overview"
        browser.script("location.hash = arguments[0]", f"#/{view}")
        eventually(lambda: browser.script(
            "return location.hash === arguments[0] && !!document.querySelector('main h1') && "
            "document.querySelector('main').dataset.view === arguments[1]", f"#/{view}", name), view)
        if name == "events":
            browser.see("6 heard")
        for width in (PHONE, 1280):
            browser.size(width, 740)
            wide = browser.script("return [document.documentElement.scrollWidth, innerWidth]")
            assert wide[0] <= wide[1], f"{view} scrolls sideways at {width}: {wide}"
            assert browser.script(LOW_CONTRAST) == [], f"{view}, {scheme}, {width}"
            assert browser.script(UNNAMED) == [], view
            browser.picture(PICTURES / f"{scheme}-{'phone' if width == PHONE else 'desk'}-{name}.png")
        browser.size(PHONE, 740)
        paper[name] = browser.script("return getComputedStyle(document.body).backgroundColor")
    assert len(set(paper.values())) == 1
    is_clean(browser, server)


def test_colours_follow_the_system_until_somebody_chooses(browser, fake):
    server = fake()
    paper = "return getComputedStyle(document.body).backgroundColor"
    browser.open(url(server))
    browser.see("Overview")
    light = browser.script(paper)
    browser.scheme("dark")
    dark = browser.script(paper)
    assert light != dark
    toggle = browser.find("#theme", "Auto")
    toggle.click()
    assert toggle.text == "Light" and browser.script(paper) == light
    toggle.click()
    browser.scheme("light")
    assert toggle.text == "Dark" and browser.script(paper) == dark
    browser.open(url(server, "groups"))
    browser.see("Groups")
    assert browser.script(paper) == dark, "it is remembered"


def test_names_from_outside_are_text(browser, relay_to, plane, connect):
    hostile = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"
    plane.set(CDS, [xds.cluster(f"{hostile}{n}") for n in range(2)])
    relay = relay_to(plane, config={"aggregation": {"rules": [{"key": "{node.id}"}]}})
    client = connect(relay, "sotw", node=xds.node(hostile, hostile), auto_ack=False)
    client.subscribe(CDS)
    client.nack(client.expect(CDS), f"no: {hostile}")
    eventually(lambda: relay.clients()[0]["types"]["cds"]["state"] == "nacked", "the NACK")
    key = relay.clients()[0]["key"]
    quoted = {"key": urllib.parse.quote(key), "node": urllib.parse.quote(hostile)}
    browser.open(url(relay))
    browser.see("Overview", "1 subscription rejected what was sent last", key)
    for view, shown in (("clients", hostile), (f"client?node={quoted['node']}", f"no: {hostile}"),
                        (f"resources?key={quoted['key']}", f"{hostile}0"), (f"events?node={quoted['node']}", "Events"),
                        (f"resource?key={quoted['key']}&type=cds&name={quoted['node']}0&find=script", "places in it.")):
        browser.open(url(relay, view))
        browser.see(shown)
        assert browser.script("return document.querySelectorAll('main img, main script, main b').length") == 0
        assert "weir" in browser.driver.title
    # Should a name become markup all the same one day, the browser will not have it.
    refused = browser.script("try { document.querySelector('main').innerHTML = '<b>x</b>'; return '' } catch (e) { return e.name }")
    assert refused == "TypeError"


def test_a_fleet_is_shown_page_by_page(browser, fake):
    everyone = recorded.clients(450)

    def page(query):
        start, limit = int(query.get("cursor", 0)), int(query.get("limit", 450))
        end = start + limit
        return {"clients": everyone[start:end], **({"next_cursor": str(end)} if end < len(everyone) else {})}

    server = fake(clients=page)
    browser.open(url(server, "clients"))
    browser.see("edge-0199", "200 shown.")
    assert "edge-0200" not in browser.text("main")
    follow(browser, "Next page")
    browser.see("edge-0200", "edge-0399")
    browser.open(url(server, "clients?find=edge-044"))
    browser.see("edge-0440", "edge-0449")
    assert "edge-0200" not in browser.text("main")
    # A relay without pages sends everything; the page does not draw it.
    plain = fake(clients={"clients": everyone})
    browser.open(url(plain, "clients"))
    browser.see("edge-0199", "200 of 450 shown")
    assert browser.problems() == []


def test_history_differences_and_live_events(browser, fake):
    server = fake()
    browser.open(url(server, "changes"))
    browser.see("held empty", "sent", "1 client rejected it", "3.4 s")
    browser.find("tr[data-key='p-00000011'] a", "compare").click()
    browser.see("From 16 to 17", "users", "checkout", "connect_timeout", "0.250s", "circuit_breakers.thresholds[0].max_connections")
    assert ("/diff", {"key": recorded.KEY, "type": "cds", "from": "16", "to": "17"}) in server.asked
    browser.open(url(server, f"events?key={recorded.KEY}&type=cds"))
    browser.see("6 heard", "nack", "cluster users: <b>no</b>", "p-00000011")
    assert ("/events", {"key": recorded.KEY, "type": "cds"}) in server.asked
    is_clean(browser, server)


def test_what_a_client_lacks_and_why(browser, fake):
    browser.open(url(fake(), f"client?node={urllib.parse.quote(recorded.HOSTILE)}"))
    browser.see("Missing, 1", "users", "held", "it removes 412 of 412 resources", "node.metadata.tier is missing",
                "cluster users: <b>no</b>")


def test_what_a_relay_does_not_have_is_said(browser, fake):
    server = fake(history=None, diff=None, events=None)
    for view, said in (("changes", "keeps no history"), ("events", "has no live events"),
                       ("diff?key=a&type=cds&from=1&to=2", "there is no such path here")):
        browser.open(url(server, view))
        browser.see(said)


def test_a_relay_that_is_gone_is_said_and_found_again(browser, demo):
    browser.open(url(demo))
    browser.see("Responses sent")
    demo.stop()
    browser.see("weir does not answer", selector="#trouble")
    demo.start()
    eventually(lambda: browser.text("#trouble") == "", "the trouble to pass")


def test_a_page_that_nobody_looks_at_asks_nothing(browser, fake):
    server = fake()
    browser.open(url(server))
    eventually(lambda: sum(path == "/overview" for path, _ in server.asked) >= 2, "the page to ask again")
    browser.script("""
        Object.defineProperty(document, 'hidden', {configurable: true, get: () => true});
        document.dispatchEvent(new Event('visibilitychange'))""")
    before = len(server.asked)
    never(lambda: len(server.asked) > before + 5, "it goes on asking", seconds=2.5)
    browser.script("""
        Object.defineProperty(document, 'hidden', {configurable: true, get: () => false});
        document.dispatchEvent(new Event('visibilitychange'))""")
    eventually(lambda: len(server.asked) > before + 5, "it to ask again")


# --- What changes something


@pytest.fixture
def held(relay_to, plane, connect):
    """A relay with one group of ten clusters."""
    plane.set(CDS, [xds.cluster(f"c{n}") for n in range(10)], version="v1")
    relay = relay_to(plane)
    client = connect(relay, node=xds.node("proxy-1"))
    client.subscribe(CDS)
    client.expect(CDS)
    return relay


def test_an_operator_holds_and_releases(browser, held, plane):
    browser.open(url(held, "group?key=web"))
    browser.find("main button", "Hold …").click()
    browser.see("POST /keys/hold?key=web&type=cds", selector="dialog")
    browser.picture(PICTURES / "hold.png", whole=False)
    browser.find("dialog button", "Leave it").click()
    assert held.keys()["web"]["types"]["cds"]["held"] is None
    browser.find("main button", "Hold …").click()
    browser.find("dialog button", "Hold").click()
    browser.see("Hold cds of web: done.", selector="#said")
    assert held.keys()["web"]["types"]["cds"]["held"]["reason"] == "operator"
    plane.set(CDS, [xds.cluster(f"c{n}") for n in range(9)], version="v2")
    browser.see("cds held: operator", "v1", "v2")
    browser.open(url(held))
    browser.see("held: operator", "cds of web")
    browser.open(url(held, "group?key=web"))
    browser.find("main button", "Release …").click()
    browser.find("dialog button", "Release").click()
    browser.see("Release cds of web: done.", selector="#said")
    eventually(lambda: held.keys()["web"]["types"]["cds"]["version"] == "v2", "the release")
    browser.find("main button", "Evict …").click()
    browser.find("dialog button", "Evict").click()
    browser.see("Evict web: ", "stream", selector="#said")
    # Draining takes a word first.
    browser.open(url(held))
    browser.find("main button", "Drain …").click()
    browser.find("dialog button", "Drain").click()
    assert held.json("/ready")["state"] == "LIVE"
    browser.find("dialog input").send_keys("drain")
    browser.find("dialog button", "Drain").click()
    browser.see("draining", selector="#state")


def test_a_token_is_asked_for_and_kept_for_the_tab(browser, relay_to, plane, tmp_path):
    (tmp_path / "tokens").write_text("alice s3cret\n")
    relay = relay_to(plane, config={"admin": {"token_file": "tokens"}})
    browser.open(url(relay))
    browser.see("A token, please", selector="dialog")
    browser.find("dialog input").send_keys("wrong", Keys.ENTER)
    browser.see("not among those that weir knows", selector="dialog")
    browser.find("dialog input").send_keys("s3cret", Keys.ENTER)
    browser.see("Overview", "Groups\n0")
    assert browser.script("return [localStorage.length, document.cookie, location.href.includes('s3cret')]")[1:] == ["", False]
    assert "s3cret" not in browser.script("return JSON.stringify(localStorage)")
    browser.open(url(relay, "clients"))
    browser.driver.refresh()
    browser.see("Clients", "No client stream is like that.")
    assert not browser.script("return document.querySelector('dialog')")


class Stranger:
    """A page of another site that has whoever opens it POST to `target`: by a form, and by a script."""

    def __init__(self, target):
        page = f"""<!doctype html><title>cats</title><iframe name=f></iframe>
            <form method=post action="{target}" target=f enctype=text/plain><input name=a value=b></form>
            <script>document.forms[0].submit(); fetch("{target}", {{method: "POST", mode: "no-cors"}})
              .then(() => document.title = "sent", () => document.title = "sent")</script>"""

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(page.encode())

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def ask(relay, method, path, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", relay.admin_port, timeout=5)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


def test_the_page_of_another_site_changes_nothing(browser, demo):
    for host in ("127.0.0.1", "localhost"):
        stranger = Stranger(f"http://{demo.admin}/drain")
        try:
            browser.open(f"http://{host}:{stranger.server.server_address[1]}/")
            eventually(lambda: browser.driver.title == "sent", "the stranger's page to have tried")
        finally:
            stranger.stop()
        assert demo.json("/ready")["state"] == "LIVE"
    demo.process.wait_log("debug endpoint: refused")
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec_Fetch_Site": "cross-site"},
                    {"Origin": f"http://127.0.0.1:{demo.port}"}):
        status, _, body = ask(demo, "POST", "/logging?level=debug", **headers)
        assert status == 403 and "another site" in body, headers
    for headers in ({}, {"Origin": f"http://{demo.admin}"}, {"Sec_Fetch_Site": "same-origin"}):
        assert ask(demo, "POST", "/logging?level=debug", **headers)[0] == 200, headers
    # A name that somebody has made to lead here makes their page one of the same site.
    for method in ("GET", "POST"):
        status, _, body = ask(demo, method, "/logging?level=debug", Host="evil.example:9901")
        assert status == 403 and "localhost" in body
    assert ask(demo, "GET", "/keys", Host=f"localhost:{demo.admin_port}")[0] == 200


def test_the_files_of_the_page(demo):
    status, headers, body = ask(demo, "GET", "/")
    assert status == 200 and headers["Content-Type"] == "text/html; charset=utf-8"
    assert body == (FILES / "page.html").read_text()
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script-src 'self'" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["X-Frame-Options"] == "DENY"
    kinds = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
             ".html": "text/html; charset=utf-8"}
    for file in FILES.iterdir():
        status, headers, body = ask(demo, "GET", f"/page/{file.name}")
        assert status == 200 and body == file.read_text(), f"{file.name}: is it in files.c?"
        assert headers["Content-Type"] == kinds[file.suffix] and headers["Cache-Control"] == "no-cache"
        assert ask(demo, "GET", f"/page/{file.name}", If_None_Match=headers["ETag"])[::2] == (304, "")
        assert ask(demo, "GET", f"/page/{file.name}", If_None_Match='"other"')[0] == 200
        assert ask(demo, "HEAD", f"/page/{file.name}")[::2] == (200, "")
    assert ask(demo, "GET", "/page/nothing.js")[0] == 404 and ask(demo, "GET", "/page/../page.js")[0] == 404
    assert ask(demo, "POST", "/")[0] == 405
