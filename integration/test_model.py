"""Random clients and a random control plane against a model of what everybody must end up with.

The seed is in the test's name; a failure repeats with it.
"""

import random

import pytest

from weirtest import xds
from weirtest.waiting import eventually
from weirtest.xds import CDS, EDS

pytestmark = pytest.mark.usefixtures("upstream_protocol")
NAMES = [f"n{i}" for i in range(12)]
ROUNDS, STEPS = 30, 8


class Actor:
    """A client and the names that it should now be subscribed to."""

    def __init__(self, connect, server, random_source, number):
        self.client = connect(server, random_source.choice(["delta", "sotw"]), node=xds.node(f"actor-{number}"))
        self.clusters = None if random_source.random() < 0.6 else set(random_source.sample(NAMES, 3))
        self.endpoints = set(random_source.sample(NAMES, 3))
        self.client.subscribe(CDS, *(self.clusters or ()))
        self.client.subscribe(EDS, *self.endpoints)

    def change_names(self, random_source):
        name = random_source.choice(NAMES)
        if name in self.endpoints and len(self.endpoints) > 1:
            self.endpoints.discard(name)
            self.client.unsubscribe(EDS, name)
        else:
            self.endpoints.add(name)
            self.client.subscribe(EDS, name)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_everybody_ends_up_with_what_the_control_plane_has(plane, relay, connect, seed):
    source = random.Random(seed)
    plane.set(CDS, [xds.cluster(name) for name in NAMES[:6]])
    plane.set(EDS, [xds.endpoints(name, 1) for name in NAMES[:6]])
    actors, number = [], 0
    for _ in range(ROUNDS):
        for _ in range(STEPS):
            action = source.random()
            if action < 0.25 or len(actors) < 2:
                number += 1
                actors.append(Actor(connect, relay, source, number))
            elif action < 0.35:
                actors.pop(source.randrange(len(actors))).client.close()
            elif action < 0.55:
                source.choice(actors).change_names(source)
            elif action < 0.7:
                # Endpoints are only added and changed: SotW has no word for their removal.
                plane.update(EDS, [xds.endpoints(source.choice(NAMES), source.randrange(1, 60000))])
            elif action < 0.9:
                plane.update(CDS, [xds.cluster(source.choice(NAMES), source.randrange(1, 100))])
            else:
                plane.remove(CDS, source.choice(NAMES))
        for actor in actors:
            actor.client.converge(CDS, plane.expected(CDS, names=actor.clusters))
            actor.client.converge(EDS, plane.expected(EDS, names=actor.endpoints))
    for actor in actors:
        actor.client.settle(0)
        for response in actor.client.history:
            mentioned = response.names + response.removed
            assert len(set(mentioned)) == len(mentioned)
        nonces = [(response.type_url, response.nonce) for response in actor.client.history]
        assert len(set(nonces)) == len(nonces)
    wanted = set().union(*(actor.endpoints for actor in actors))
    eventually(lambda: plane.interest(EDS) == wanted, "the interest upstream to be the union")
