"""A client of etcd's API v3 on gRPC.

It survives restarts, lost connections, new leaders and expired tokens. ``docs/decisions`` explains
why musterd has its own client.
"""

import os

# Otherwise gRPC writes to standard error, several lines a second if TLS fails; the errors contain
# the same information. It is read when grpc is imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from musterd.etcd.client import EtcdClient, EtcdKeys
from musterd.etcd.options import EtcdOptions
from musterd.etcd.values import ALL, EtcdBatch, EtcdEvent, RangeResult, span
from musterd.etcd.watch import EtcdWatch

__all__ = [
    "ALL",
    "EtcdBatch",
    "EtcdClient",
    "EtcdEvent",
    "EtcdKeys",
    "EtcdOptions",
    "EtcdWatch",
    "RangeResult",
    "span",
]
