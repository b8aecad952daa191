"""A client of etcd's API v3 on gRPC.

It goes on through restarts, lost connections, new leaders, expired tokens; ``docs/decisions`` has
why it is an own one.
"""

import os

# Else gRPC writes lines of its own to standard error, several a second where TLS is refused. What
# they say is in the errors too. It is read when grpc is imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from musterd.etcd.client import Client
from musterd.etcd.options import Options
from musterd.etcd.values import ALL, Change, Events, Found, span
from musterd.etcd.watch import Watch

__all__ = ["ALL", "Change", "Client", "Events", "Found", "Options", "Watch", "span"]
