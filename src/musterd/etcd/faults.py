"""What a failed request means: whether it may be tried again, and in our words.

etcd tells its errors apart by the text alone (its package ``rpctypes``); gRPC's own say whether a
request can have left the machine.
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
    """A revision was asked for that is still to come."""


class Leaderless(StoreUnavailable):
    """Etcd has no leader, and has waited for one."""


class Then(Enum):
    """What may follow a failure."""

    RETRY = "again"
    """Nothing was done."""
    LOGIN = "again, with a new token"
    """Nothing was done."""
    UNSURE = "again if it only reads"
    """It may have been done."""
    SMALLER = "again, for less"
    """The answer is larger than is taken."""
    FINAL = "never again"
    """Nothing was done."""


class Failure(NamedTuple):
    """A failed try of a request."""

    then: Then
    error: StoreError


_UNSURE: Final = frozenset(
    {
        *(Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.CANCELLED, Code.INTERNAL),
        # As gRPC calls a stream that was removed.
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
"""What is in a reason that has to do with TLS, in lower case."""


def failure(
    error: grpc.aio.AioRpcError,
    endpoint: str,
    options: EtcdOptions,
    question: Message | None = None,
    *,
    writes: bool,
) -> Failure:
    """What an error of a request to an endpoint means. question: the request, if it is one."""
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
    """What a request wants of which keys, as ``write /musterd/v1/``.

    Of several keys it is what they all begin with.
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
    """A key near the end of a range, which begins as all of it do."""
    end = question.range_end
    return end[:-1] + bytes([max(end[-1], 1) - 1]) if end else question.key


def _keys(*keys: bytes) -> str:
    """What they all begin with."""
    pairs = zip(min(keys), max(keys), strict=False)
    alike = bytes(one for one, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return printable(alike.rstrip(b"\0")) or "all keys"


def _unsure(endpoint: str, why: str, *, writes: bool) -> StoreUnavailable:
    told = f"etcd at {endpoint}: {why}: "
    if writes:
        return StoreUncertain(f"{told}the write may have happened or not: read to know")
    return StoreUnavailable(f"{told}try again")


def wants_login(reason: str) -> bool:
    """Whether the reason of an end is that a token is not, or no longer, known."""
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
    busy = f"etcd at {endpoint}: {details}: ask again a little later"
    return Failure(Then.RETRY, StoreBusy(busy))


def _refused(
    code: Code, details: str, endpoint: str, options: EtcdOptions, question: Message | None
) -> StoreError:
    at = f"etcd at {endpoint}: "
    found: StoreError = StoreUnavailable(at + (details or code.name))
    if code is Code.OUT_OF_RANGE:
        found = (Ahead if "future" in details else Compacted)(0, 0)
    elif code is Code.NOT_FOUND and "lease not found" in details:
        found = LeaseNotFound(0)
    elif code is Code.PERMISSION_DENIED:
        who = f"user {options.user}" if options.user else "who has this certificate"
        found = StoreDenied(f"{at}{who} may not {wanted(question)}: grant a role that may")
    elif "lease already exists" in details:
        found = StoreLimit(f"{at}{details}: take another ID")
    elif "authentication failed" in details:
        why = "the password is wrong, or there is no such user"
        found = StoreDenied(_login(endpoint, why, options))
    elif "request is too large" in details or "too many operations" in details:
        found = StoreLimit(
            f"{at}{details}: its --max-request-bytes and --max-txn-ops must be no lower than"
            " their defaults"
        )
    elif code is Code.DATA_LOSS or "corrupt" in details:
        found = StoreCorrupt(at + details)
    return found


def _unreachable(endpoint: str, details: str, options: EtcdOptions) -> str:
    reason = details.rpartition("last error: ")[2]
    lower = details.lower()
    if "resol" in lower:
        return f"etcd at {endpoint}: {reason}: see that this is its name"
    if "TSI_DATA_CORRUPTED" in details:
        # With TLS 1.3 a server looks at the certificate when the client thinks that it is through.
        reason = "it ended TLS, as it does where it doesn't take the client's certificate"
    if "(Endpoint closing)" in details:
        reason = "no answer to the TLS handshake"
    elif any(word in lower for word in _OF_TLS):
        files = ", ".join(str(path) for path in (options.ca, options.cert, options.key) if path)
        return (
            f"etcd at {endpoint}: {reason}: see that it speaks TLS, and that ca, cert and key are"
            f" right for it ({files}; ETCD_CACERT, ETCD_TLSPEM and ETCD_TLSKEY name them where the"
            " settings don't)"
        )
    plain = "" if options.secure else ", and that it doesn't want TLS (ca)"
    return f"etcd at {endpoint}: {reason}: see that it runs, that the way there is open{plain}"


def _login(endpoint: str, details: str, options: EtcdOptions) -> str:
    if not options.user:
        return f"etcd at {endpoint} requires authentication ({details}); set user and password"
    return f"etcd at {endpoint} doesn't let user {options.user} in: {details}"


def _unready(endpoint: str, details: str) -> StoreUnavailable:
    if details.startswith("etcdserver: no leader"):
        return Leaderless(f"etcd at {endpoint} has no leader: see that most of its members run")
    return StoreUnavailable(f"etcd at {endpoint}: {details}: try again")
