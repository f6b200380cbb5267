"""A small web back end that keeps services in a database of its own, and feeds Envoys through weir: no control plane.

    REGISTRY_TOKEN=... uvicorn service_registry:app

    curl -X PUT http://127.0.0.1:8000/services/greeter/endpoints/127.0.0.1:8080
    curl http://127.0.0.1:10000/greeter/          # Envoy's listener: one prefix for each service

Whatever changes the database, over HTTP or by other hands, is put as the snapshot of one key, whole: what is not in the
database any more is gone from the Envoys, too. If weir was away or was put something else meanwhile, that is noticed and
put right; weir itself sends the Envoys only what differs.
"""

import asyncio
import contextlib
import ipaddress
import logging
import os
import sqlite3
from urllib.parse import quote

import httpx
from fastapi import FastAPI, HTTPException

DATABASE = os.environ.get("REGISTRY_DATABASE", "registry.sqlite")
WEIR = os.environ.get("REGISTRY_WEIR", "http://127.0.0.1:18080")
TOKEN = os.environ.get("REGISTRY_TOKEN", "")
#: The key that the Envoys have by weir's rules, and where they listen.
KEY = os.environ.get("REGISTRY_KEY", "edge")
LISTENER_PORT = int(os.environ.get("REGISTRY_LISTENER_PORT", "10000"))
#: How often the database is looked at for changes by others, and weir for having another snapshot.
LOOK_SECONDS, CHECK_SECONDS = 0.2, 5.0

API = "type.googleapis.com/envoy."
ADS = {"ads": {}, "resource_api_version": "V3"}
log = logging.getLogger("uvicorn.error")


def connect():
    database = sqlite3.connect(DATABASE, timeout=5)
    database.execute(
        "CREATE TABLE IF NOT EXISTS endpoints (service TEXT, address TEXT, port INTEGER,"
        " PRIMARY KEY (service, address, port))")
    database.commit()
    return database


# --- What Envoys are to have, out of the database.


def services(database):
    """Service → its endpoints as (address, port)."""
    found = {}
    for service, address, port in database.execute("SELECT service, address, port FROM endpoints ORDER BY 1, 2, 3"):
        found.setdefault(service, []).append((address, port))
    return found


def cluster(service):
    return {"@type": API + "config.cluster.v3.Cluster", "name": service, "type": "EDS", "connect_timeout": "1s",
            "eds_cluster_config": {"eds_config": ADS}}


def load_assignment(service, endpoints):
    return {"@type": API + "config.endpoint.v3.ClusterLoadAssignment", "cluster_name": service, "endpoints": [{
        "lb_endpoints": [{"endpoint": {"address": {"socket_address": {"address": address, "port_value": port}}}}
                         for address, port in endpoints]}]}


def listener():
    router = {"name": "envoy.filters.http.router",
              "typed_config": {"@type": API + "extensions.filters.http.router.v3.Router"}}
    manager = {
        "@type": API + "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "web", "http_filters": [router],
        "rds": {"route_config_name": "services", "config_source": ADS},
    }
    return {"@type": API + "config.listener.v3.Listener", "name": "web",
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": LISTENER_PORT}},
            "filter_chains": [{"filters": [
                {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}]}


def routes(names):
    each = [{"match": {"prefix": f"/{name}/"}, "route": {"cluster": name, "prefix_rewrite": "/"}} for name in names]
    return {"@type": API + "config.route.v3.RouteConfiguration", "name": "services",
            "virtual_hosts": [{"name": "services", "domains": ["*"], "routes": each}]}


def snapshot(database):
    """The body of a PUT: everything that the key is to have. The version is made of the content by weir."""
    found = services(database)
    return {"resources": [listener(), routes(found)] + [cluster(name) for name in found]
            + [load_assignment(name, endpoints) for name, endpoints in found.items()]}


# --- To weir.


class Feed:
    """Keeps weir's snapshot of the key equal to the database."""

    def __init__(self):
        self.client = httpx.AsyncClient(base_url=WEIR, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=10)
        self.path = f"/v1/snapshots/{quote(KEY, safe='')}"
        #: What weir calls the snapshot that was put last; None: not known.
        self.etag = None

    async def put(self, body):
        """Replaces what was put last. If others have put something meanwhile, they are told in the log, and overruled."""
        conditions = {"If-Match": self.etag} if self.etag else {}
        answer = await self.client.put(self.path, json=body, headers=conditions)
        if answer.status_code == 412:
            log.warning("weir has another snapshot: %s", answer.json()["error"])
            answer = await self.client.put(self.path, json=body)
        if answer.status_code in (400, 422):
            # A mistake of this program, or of a row: weir has changed nothing, and the Envoys go on.
            log.error("weir does not take the snapshot: %s", answer.text)
            return
        answer.raise_for_status()
        self.etag = answer.headers["ETag"]
        log.info("weir: %s %s", answer.json()["outcome"], self.etag)

    async def is_current(self):
        """Whether weir still has what was put last."""
        answer = await self.client.head(self.path, headers={"If-None-Match": self.etag or '""'})
        return answer.status_code == 304

    async def run(self):
        """For ever: when the database has changed, by whomever, put it; now and then, look whether weir has it."""
        database = connect()
        seen, checked = None, 0.0
        while True:
            try:
                # Counts the changes that other connections have committed.
                [version] = database.execute("PRAGMA data_version").fetchone()
                now = asyncio.get_running_loop().time()
                is_due = now - checked >= CHECK_SECONDS
                if version != seen or (is_due and not await self.is_current()):
                    await self.put(snapshot(database))
                    seen = version
                if is_due:
                    checked = now
            except (httpx.HTTPError, sqlite3.Error) as error:
                log.error("not put, tried again: %s", error)
                seen = None
                await asyncio.sleep(1)
            await asyncio.sleep(LOOK_SECONDS)


# --- The back end.


@contextlib.asynccontextmanager
async def lifespan(_):
    feeding = asyncio.create_task(Feed().run())
    yield
    feeding.cancel()


app = FastAPI(title="Service registry", lifespan=lifespan)


def endpoint(text):
    address, _, port = text.rpartition(":")
    try:
        return str(ipaddress.ip_address(address.strip("[]"))), int(port)
    except ValueError:
        raise HTTPException(422, f"{text!r} is not ADDRESS:PORT") from None


@app.get("/services")
def list_services():
    with contextlib.closing(connect()) as database:
        return {name: [f"{address}:{port}" for address, port in endpoints]
                for name, endpoints in services(database).items()}


@app.put("/services/{service}/endpoints/{text}")
def add_endpoint(service: str, text: str):
    with contextlib.closing(connect()) as database, database:
        database.execute("INSERT OR IGNORE INTO endpoints VALUES (?, ?, ?)", (service, *endpoint(text)))
    return {"service": service, "endpoint": text}


@app.delete("/services/{service}/endpoints/{text}")
def remove_endpoint(service: str, text: str):
    with contextlib.closing(connect()) as database, database:
        gone = database.execute(
            "DELETE FROM endpoints WHERE (service, address, port) = (?, ?, ?)", (service, *endpoint(text)))
        if gone.rowcount == 0:
            raise HTTPException(404, f"{service} has no endpoint {text}")
    return {"service": service, "endpoint": text}
