"""A client of etcd's API v3 on gRPC.

It goes on through restarts, lost connections, new leaders, expired tokens; ``docs/decisions`` has
why it is an own one.
"""

from musterd.etcd.client import Client
from musterd.etcd.options import Options
from musterd.etcd.values import ALL, Change, Events, Found, span
from musterd.etcd.watch import Watch

__all__ = ["ALL", "Change", "Client", "Events", "Found", "Options", "Watch", "span"]
