"""Translation of failed requests: whether to retry, and the store error.

etcd's errors differ only in their text (its package ``rpctypes``); gRPC's own errors show whether
a request may have left the machine.
"""

from enum import Enum
from itertools import takewhile
from typing import Final, NamedTuple

import grpc
from google.protobuf.message import Message

from musterd.display import printable
from musterd.etcd import rpc_pb2 as rpc
from musterd.etcd.options import EtcdOptions
from musterd.kv.errors import (
    Compacted,
    LeaseNotFound,
    StoreBusy,
    StoreCorrupt,
    StoreDenied,
    StoreError,
    StoreFull,
    StoreLimit,
    StoreUnavailable,
    StoreUncertain,
)

Code = grpc.StatusCode


class Ahead(Compacted):
    """The requested revision is in the future."""


class Leaderless(StoreUnavailable):
    """etcd has no leader, and has waited for one."""


class Then(Enum):
    """Reaction to a failure."""

    RETRY = "again"
    """Nothing was done."""
    LOGIN = "again, with a new token"
    """Nothing was done."""
    UNSURE = "again if it only reads"
    """The outcome is unknown: the write may have been applied."""
    SMALLER = "again, for less"
    """The answer is too large."""
    FINAL = "never again"
    """Nothing was done."""


class Failure(NamedTuple):
    """A failed attempt of a request."""

    then: Then
    error: StoreError


_UNSURE: Final = frozenset(
    {
        *(Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.CANCELLED, Code.INTERNAL),
        # gRPC's code for a removed stream.
        Code.UNKNOWN,
    }
)
_RETRY: Final = (
    "etcdserver: no leader",
    "etcdserver: not capable",
    "etcdserver: not healthy for reconfigure",
    "etcdserver: rpc not supported for learner",
)
_LOGIN: Final = (
    "etcdserver: invalid auth token",
    "etcdserver: revision of auth store is old",
    "etcdserver: user name is empty",
    "etcdserver: user name not found",
)
_UNCONNECTED: Final = (
    "failed to connect to all addresses",
    "connections to all backends failing",
    "DNS resolution failed",
    "errors resolving",
)
_OF_TLS: Final = ("ssl", "tsi_", "handshake", "certificate", "verification")
"""Words in error messages about TLS, in lower case."""


def failure(
    error: grpc.aio.AioRpcError,
    endpoint: str,
    options: EtcdOptions,
    question: Message | None = None,
    *,
    writes: bool,
) -> Failure:
    """Translate an error of an endpoint. question: the failed request, if any."""
    code, details = error.code(), error.details() or ""
    if details.startswith(_UNCONNECTED):
        return Failure(Then.RETRY, StoreUnavailable(_unreachable(endpoint, details, options)))
    if code is Code.UNAUTHENTICATED or details.startswith(_LOGIN):
        return Failure(Then.LOGIN, StoreDenied(_login(endpoint, details, options)))
    if details.startswith(_RETRY):
        return Failure(Then.RETRY, _unready(endpoint, details))
    if code is Code.RESOURCE_EXHAUSTED:
        return _exhausted(details, endpoint)
    if code in _UNSURE:
        why = "no answer in time" if code is Code.DEADLINE_EXCEEDED else details
        return Failure(Then.UNSURE, _unsure(endpoint, why, writes=writes))
    return Failure(Then.FINAL, _refused(code, details, endpoint, options, question))


def wanted(question: Message | None) -> str:
    """Describe the access that a request needs, for example ``write /musterd/v1/``.

    Several keys are described by their common prefix.
    """
    match question:
        case rpc.RangeRequest():
            return f"read {_keys(question.key, _last(question))}"
        case rpc.PutRequest():
            return f"write {_keys(question.key)}"
        case rpc.DeleteRangeRequest():
            return f"write {_keys(question.key, _last(question))}"
        case rpc.TxnRequest():
            keys = [compare.key for compare in question.compare]
            keys += [step.put.key or step.delete_range.key for step in question.success]
            return f"read and write {_keys(*keys)}"
        case _:
            return "do this"


def _last(question: rpc.RangeRequest | rpc.DeleteRangeRequest) -> bytes:
    """Return a key near the end of a range, which shares the range's common prefix."""
    end = question.range_end
    return end[:-1] + bytes([max(end[-1], 1) - 1]) if end else question.key


def _keys(*keys: bytes) -> str:
    """Return the common prefix of keys as text."""
    pairs = zip(min(keys), max(keys), strict=False)
    common = bytes(byte for byte, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return printable(common.rstrip(b"\0")) or "all keys"


def _unsure(endpoint: str, why: str, *, writes: bool) -> StoreUnavailable:
    start = f"etcd at {endpoint}: {why}: "
    if writes:
        return StoreUncertain(f"{start}the write may have happened or not: read to find out")
    return StoreUnavailable(f"{start}try again")


def wants_login(reason: str) -> bool:
    """Return whether a reason says that an auth token is unknown or expired."""
    return any(text in reason for text in _LOGIN)


def _exhausted(details: str, endpoint: str) -> Failure:
    if "larger than max" in details:
        return Failure(Then.SMALLER, StoreLimit(f"etcd at {endpoint}: {details}"))
    if "database space exceeded" in details:
        return Failure(
            Then.FINAL,
            StoreFull(
                f"etcd at {endpoint}: its database is full: compact it, defragment it, and disarm"
                " its alarm (etcdctl alarm disarm)"
            ),
        )
    busy = f"etcd at {endpoint}: {details}: retry later"
    return Failure(Then.RETRY, StoreBusy(busy))


def _refused(
    code: Code, details: str, endpoint: str, options: EtcdOptions, question: Message | None
) -> StoreError:
    start = f"etcd at {endpoint}: "
    found: StoreError = StoreUnavailable(start + (details or code.name))
    if code is Code.OUT_OF_RANGE:
        found = (Ahead if "future" in details else Compacted)(0, 0)
    elif code is Code.NOT_FOUND and "lease not found" in details:
        found = LeaseNotFound(0)
    elif code is Code.PERMISSION_DENIED:
        who = f"user {options.user}" if options.user else "the user of this certificate"
        found = StoreDenied(
            f"{start}{who} may not {wanted(question)}: grant it a role with this permission"
        )
    elif "lease already exists" in details:
        found = StoreLimit(f"{start}{details}: choose another ID")
    elif "authentication failed" in details:
        why = "the password is wrong, or the user doesn't exist"
        found = StoreDenied(_login(endpoint, why, options))
    elif "request is too large" in details or "too many operations" in details:
        found = StoreLimit(
            f"{start}{details}: its --max-request-bytes and --max-txn-ops must be at least"
            " their defaults"
        )
    elif code is Code.DATA_LOSS or "corrupt" in details:
        found = StoreCorrupt(start + details)
    return found


def _unreachable(endpoint: str, details: str, options: EtcdOptions) -> str:
    reason = details.rpartition("last error: ")[2]
    lower = details.lower()
    if "resol" in lower:
        return f"etcd at {endpoint}: {reason}: check the host name"
    if "TSI_DATA_CORRUPTED" in details:
        # With TLS 1.3 a server checks the certificate after the client has finished the handshake.
        reason = "it closed the TLS connection: it may have rejected the client certificate"
    if "(Endpoint closing)" in details:
        reason = "no answer to the TLS handshake"
    elif any(word in lower for word in _OF_TLS):
        files = ", ".join(str(path) for path in (options.ca, options.cert, options.key) if path)
        return (
            f"etcd at {endpoint}: {reason}: check that it uses TLS, and that ca, cert and key are"
            f" right for it ({files}; ETCD_CACERT, ETCD_TLSPEM and ETCD_TLSKEY name them if the"
            " settings don't)"
        )
    plain = "" if options.secure else ", and that it doesn't require TLS (ca)"
    return f"etcd at {endpoint}: {reason}: check that it runs, that the network path is open{plain}"


def _login(endpoint: str, details: str, options: EtcdOptions) -> str:
    if not options.user:
        return f"etcd at {endpoint} requires authentication ({details}); set user and password"
    return f"etcd at {endpoint} rejects user {options.user}: {details}"


def _unready(endpoint: str, details: str) -> StoreUnavailable:
    if details.startswith("etcdserver: no leader"):
        return Leaderless(f"etcd at {endpoint} has no leader: check that most of its members run")
    return StoreUnavailable(f"etcd at {endpoint}: {details}: try again")
