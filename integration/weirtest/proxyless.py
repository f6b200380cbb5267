"""gRPC's own xDS client, in a process of its own."""

import json
import sys
from pathlib import Path

from weirtest.backend import ECHO
from weirtest.process import Process

#: Calls for ever and prints each distinct answer, until it is ended.
CALLER = f"""
import sys, time, grpc
channel = grpc.insecure_channel("xds:///greeter")
call = channel.unary_unary({ECHO!r})
last = None
end = time.monotonic() + 60
while time.monotonic() < end:
    try:
        answer = call(b"", timeout=5, wait_for_ready=True).decode()
    except grpc.RpcError as error:
        answer = "error " + str(error.code()) + " " + str(error.details())
    if answer != last:
        print(answer, flush=True)
    last = answer
    time.sleep(0.01)
"""


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
        super().__init__([sys.executable, "-c", CALLER], Path(folder) / "caller.log",
                         {"GRPC_XDS_BOOTSTRAP": str(bootstrap), "GRPC_VERBOSITY": "ERROR"})

    @property
    def errors(self):
        """Answers that were none."""
        return [line for line in self.log.splitlines() if line.startswith("error")]
