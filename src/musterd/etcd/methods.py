"""Methods of etcd's API in use (api/etcdserverpb/rpc.proto), with their message types."""

from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from google.protobuf.message import Message

from musterd.etcd import rpc_pb2 as rpc

Q = TypeVar("Q", bound=Message)
A = TypeVar("A", bound=Message)


@dataclass(frozen=True, slots=True)
class Method(Generic[Q, A]):
    """A method by its path. writes: True if it changes data."""

    path: str
    question: type[Q]
    answer: type[A]
    writes: bool = False


RANGE: Final = Method("/etcdserverpb.KV/Range", rpc.RangeRequest, rpc.RangeResponse)
PUT: Final = Method("/etcdserverpb.KV/Put", rpc.PutRequest, rpc.PutResponse, True)
DELETE: Final = Method(
    "/etcdserverpb.KV/DeleteRange", rpc.DeleteRangeRequest, rpc.DeleteRangeResponse, True
)
TXN: Final = Method("/etcdserverpb.KV/Txn", rpc.TxnRequest, rpc.TxnResponse, True)
COMPACT: Final = Method(
    "/etcdserverpb.KV/Compact", rpc.CompactionRequest, rpc.CompactionResponse, True
)
WATCH: Final = Method("/etcdserverpb.Watch/Watch", rpc.WatchRequest, rpc.WatchResponse)
GRANT: Final = Method(
    "/etcdserverpb.Lease/LeaseGrant", rpc.LeaseGrantRequest, rpc.LeaseGrantResponse, True
)
REVOKE: Final = Method(
    "/etcdserverpb.Lease/LeaseRevoke", rpc.LeaseRevokeRequest, rpc.LeaseRevokeResponse, True
)
KEEPALIVE: Final = Method(
    "/etcdserverpb.Lease/LeaseKeepAlive", rpc.LeaseKeepAliveRequest, rpc.LeaseKeepAliveResponse
)
TIME_TO_LIVE: Final = Method(
    "/etcdserverpb.Lease/LeaseTimeToLive", rpc.LeaseTimeToLiveRequest, rpc.LeaseTimeToLiveResponse
)
AUTHENTICATE: Final = Method(
    "/etcdserverpb.Auth/Authenticate", rpc.AuthenticateRequest, rpc.AuthenticateResponse
)
STATUS: Final = Method("/etcdserverpb.Maintenance/Status", rpc.StatusRequest, rpc.StatusResponse)
