"""A client of etcd's API v3 on gRPC.

It goes on through restarts, lost connections, new leaders, expired tokens; ``docs/decisions`` has
why it is an own one.
"""

import os

# Else gRPC writes lines of its own to standard error, several a second where TLS is refused. What
# they say is in the errors too. It is read when grpc is imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from musterd.etcd.client import EtcdClient, EtcdKeys
from musterd.etcd.options import EtcdOptions
from musterd.etcd.values import ALL, EtcdBatch, EtcdEvent, Found, span
from musterd.etcd.watch import EtcdWatch

__all__ = [
    "ALL",
    "EtcdBatch",
    "EtcdClient",
    "EtcdEvent",
    "EtcdKeys",
    "EtcdOptions",
    "EtcdWatch",
    "Found",
    "span",
]
