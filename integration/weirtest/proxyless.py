"""gRPC's own xDS client, in a process of its own."""

import json
import sys
from pathlib import Path

from weirtest.backend import ECHO
from weirtest.process import Process

#: Calls a method of a target for ever and prints each distinct answer, until it is ended.
CALLER = """
import sys, time, grpc
call = grpc.insecure_channel(sys.argv[1]).unary_unary(sys.argv[2])
last, end = None, time.monotonic() + 60
while time.monotonic() < end:
    try:
        answer = repr(call(b"", timeout=5, wait_for_ready=True))
    except grpc.RpcError as error:
        answer = f"error {error.code()} {error.details()}"
    if answer != last:
        print(answer, flush=True)
    last = answer
    time.sleep(0.01)
"""


def calling(target, method=ECHO):
    """The command line of a program that does so."""
    return [sys.executable, "-c", CALLER, target, method]


class ProxylessCaller(Process):
    """Calls `xds:///greeter`, resolved through the xDS server at `address`; its log has the answers."""

    def __init__(self, folder, address):
        bootstrap = Path(folder) / "grpc-bootstrap.json"
        bootstrap.write_text(json.dumps({
            "xds_servers": [{
                "server_uri": address,
                "channel_creds": [{"type": "insecure"}],
                "server_features": ["xds_v3"],
            }],
            "node": {"id": "grpc-1", "cluster": "web"},
        }))
        super().__init__(calling("xds:///greeter"), Path(folder) / "caller.log",
                         {"GRPC_XDS_BOOTSTRAP": str(bootstrap), "GRPC_VERBOSITY": "ERROR"})

    @property
    def errors(self):
        """Answers that were none."""
        return [line for line in self.log.splitlines() if line.startswith("error")]
