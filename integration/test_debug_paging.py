"""Lists by pages: nothing is left out and nothing comes twice, whatever comes and goes meanwhile."""

import pytest
from weirtest import xds
from weirtest.http import ask
from weirtest.waiting import eventually
from weirtest.xds import CDS, EDS
from urllib.parse import quote

pytestmark = pytest.mark.relay_only


def pages(relay, path, name, limit, between=lambda number: None):
    """The pages of a list, and what each says of all."""
    found, totals, cursor = [], [], None
    mark = "&" if "?" in path else "?"
    while True:
        query = f"{path}{mark}limit={limit}" + (f"&cursor={quote(cursor, safe='')}" if cursor else "")
        answer = relay.json(query)
        found.append(answer[name])
        totals.append(answer["total"])
        cursor = answer["next_cursor"]
        assert len(answer[name]) == limit or cursor is None
        if cursor is None:
            return found, totals
        between(len(found))


@pytest.fixture
def fleet(plane, relay, connect):
    plane.set(CDS, [xds.cluster(f"c{i}") for i in range(7)], version="1")

    def add(name, cluster):
        client = connect(relay, "sotw", node=xds.node(name, cluster))
        client.subscribe(CDS)
        client.expect(CDS)
        return client

    clients = {f"n{i}": add(f"n{i}", f"k {i % 3}") for i in range(9)}
    eventually(lambda: len(relay.clients("?state=acked")) == 9, "everything to be acknowledged")
    return clients, add


@pytest.mark.parametrize("limit", [1, 2, 4, 9, 100])
def test_pages_of_clients(fleet, relay, limit):
    found, totals = pages(relay, "/clients", "clients", limit)
    names = [client["node"] for page in found for client in page]
    assert sorted(names) == [f"n{i}" for i in range(9)] and set(totals) == {9}
    assert names == [client["node"] for client in relay.clients()], "the order is the same"
    found, totals = pages(relay, "/clients?key=k%25201", "clients", limit)
    assert sorted(c["node"] for page in found for c in page) == ["n1", "n4", "n7"] and set(totals) == {3}


def test_clients_that_stay_are_listed_once_whatever_comes_and_goes(fleet, relay):
    clients, add = fleet
    gone = []

    def churn(number):
        if number <= 2:
            name = f"n{number}"
            clients[name].close()
            gone.append(name)
            eventually(lambda: not relay.clients(f"?node={name}"), "it to be gone")
            add(f"new{number}", "k 0")

    found, _ = pages(relay, "/clients", "clients", 2, churn)
    names = [client["node"] for page in found for client in page]
    stayed = {f"n{i}" for i in range(9)} - set(gone)
    assert stayed <= set(names) and len(names) == len(set(names))


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_pages_of_keys(fleet, relay, limit):
    found, totals = pages(relay, "/keys", "keys", limit)
    assert [key["key"] for page in found for key in page] == ["k%200", "k%201", "k%202"] and set(totals) == {3}
    assert all(key["streams"] == 3 and key["types"]["cds"]["acked"] == 3 for page in found for key in page)


@pytest.mark.parametrize("limit", [1, 5, 20, 100])
def test_pages_of_resources(fleet, relay, limit):
    found, totals = pages(relay, "/config_dump", "resources", limit)
    places = [(r["key"], r["name"]) for page in found for r in page]
    assert places == [(f"k%20{k}", f"c{i}") for k in range(3) for i in range(7)] and set(totals) == {21}
    found, totals = pages(relay, "/config_dump?name=c3", "resources", limit)
    assert [(r["key"], r["name"]) for p in found for r in p] == [(f"k%20{k}", "c3") for k in range(3)]


def test_a_page_as_a_table_says_where_it_goes_on(fleet, relay):
    table = ask(relay, "/clients?limit=2&format=text").text
    assert table.splitlines()[-1].startswith("# 2 of 9; more: cursor=")
    table = ask(relay, "/config_dump?limit=4&format=text&type=cds").text
    assert table.splitlines()[-1].startswith("# 4 of 21; more: cursor=k%2525200%2C")
    assert "#" not in ask(relay, "/keys?format=text").text


def test_a_cursor_of_any_text_is_a_place(fleet, relay):
    assert relay.json("/config_dump?cursor=zzz")["resources"] == []
    assert len(relay.json("/config_dump?cursor=%25zz,,")["resources"]) == 21
    assert relay.json("/keys?cursor=zzz")["keys"] == [] and relay.json("/clients?cursor=99.99")["clients"] == []


def test_the_dump_of_a_large_type_is_whole(plane, relay, connect):
    names = [f"e{i:05}" for i in range(3000)]
    plane.set(EDS, [xds.endpoints(name, 1) for name in names], version="1")
    client = connect(relay, "delta")
    client.subscribe(EDS, *names)
    client.expect(EDS)
    eventually(lambda: relay.json("/keys")["keys"][0]["types"]["eds"]["resources"] == 3000, "all to be there")
    assert [r["name"] for r in relay.json("/config_dump?type=eds")["resources"]] == names
    found, totals = pages(relay, "/config_dump?type=eds", "resources", 700)
    assert [r["name"] for page in found for r in page] == names and set(totals) == {3000}
    assert relay.clients()[0]["types"]["eds"]["subscribed"] == names
