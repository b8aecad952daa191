"""One endpoint of etcd: its channel, made again where it stays broken.

A channel for each, and not one for all: only so is the certificate of a member compared with its
own host, and only so is it known which one doesn't answer.
"""

import asyncio
import ssl
from typing import Any, Final

import grpc

from musterd.etcd.methods import A, Method, Q
from musterd.etcd.options import EtcdOptions
from musterd.kv.errors import StoreUnavailable

PING: Final = 5.0
"""Seconds between two pings of a connection; etcd allows no less."""
PONG: Final = 3.0
"""Seconds after which a ping without an answer ends the connection."""
RECONNECT_MOST: Final = 2.0
"""Seconds between two tries of the channel itself to connect."""
REMAKE: Final = 10.0
"""Seconds for which a channel may not connect before it is made anew, its files read again."""
ANSWER_OCTETS: Final = 67_108_864
"""The largest message that is taken."""

_State = grpc.ChannelConnectivity
_CHANNEL: Final[tuple[tuple[str, Any], ...]] = (
    ("grpc.keepalive_time_ms", round(PING * 1000)),
    ("grpc.keepalive_timeout_ms", round(PONG * 1000)),
    # What ends a connection is this one; it is 60 s if not set.
    ("grpc.http2.ping_timeout_ms", round(PONG * 1000)),
    ("grpc.http2.max_pings_without_data", 0),
    # etcd ends connections that are pinged while nothing is asked, and each time that it does, gRPC
    # pings half as often. While a watch is open, something is.
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", round(RECONNECT_MOST * 1000)),
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
    # A name may have many addresses, as of a headless service.
    ("grpc.lb_policy_name", "round_robin"),
    # Else a channel that is made anew takes over what broke of the old one.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", ANSWER_OCTETS),
    ("grpc.max_send_message_length", -1),
)


class Endpoint:
    """A member of etcd, or what stands before several; belongs to the running loop."""

    def __init__(self, address: str, options: EtcdOptions) -> None:
        """At ``host:port``; nothing is opened yet."""
        self.address = address
        self._options = options
        self._channel: grpc.aio.Channel | None = None
        self._closed = False
        self._made = 0.0
        """When the channel was made, or last seen connected."""
        self._making = asyncio.Lock()
        self._callables: dict[str, Any] = {}

    async def connect(self, seconds: float) -> None:
        """Wait until it is connected, or known not to be now: then a call says why, at once.

        Raises StoreUnavailable where that takes too long, or a file can't be used.
        """
        channel = self._channel
        if channel is not None and channel.get_state() is _State.READY:
            self._made = asyncio.get_running_loop().time()
            return
        channel = await self._current()
        try:
            async with asyncio.timeout(seconds):
                while True:
                    state = channel.get_state(try_to_connect=True)
                    if state not in {_State.IDLE, _State.CONNECTING}:
                        return
                    await channel.wait_for_state_change(state)
        except grpc.aio.UsageError:
            raise StoreUnavailable(f"etcd at {self.address}: the connection was closed") from None
        except TimeoutError:
            raise StoreUnavailable(
                f"etcd at {self.address}: not connected in {seconds:.1f} s: see that it runs, and"
                " that the way there is open"
            ) from None

    def unary(self, method: Method[Q, A]) -> "grpc.aio.UnaryUnaryMultiCallable[Q, A]":
        """A method that is asked once; after ``connect``. Raises StoreUnavailable."""
        if method.path not in self._callables:
            self._callables[method.path] = self._open_channel.unary_unary(
                method.path, method.question.SerializeToString, method.answer.FromString
            )
        found: grpc.aio.UnaryUnaryMultiCallable[Q, A] = self._callables[method.path]
        return found

    def stream(self, method: Method[Q, A]) -> "grpc.aio.StreamStreamMultiCallable[Q, A]":
        """A method that is asked again and again; after ``connect``. Raises StoreUnavailable."""
        return self._open_channel.stream_stream(
            method.path, method.question.SerializeToString, method.answer.FromString
        )

    async def close(self, grace: float) -> None:
        """Let go of the channel for ever; what was asked has some seconds to be answered."""
        self._closed = True
        await self._let_go(grace)

    async def _let_go(self, grace: float) -> None:
        channel, self._channel = self._channel, None
        self._callables.clear()
        if channel is not None:
            await channel.close(grace)

    @property
    def _open_channel(self) -> grpc.aio.Channel:
        if self._channel is None:
            raise StoreUnavailable(f"etcd at {self.address}: the client is closed")
        return self._channel

    async def _current(self) -> grpc.aio.Channel:
        """The channel, a new one where the old one has been broken for long."""
        async with self._making:
            now = asyncio.get_running_loop().time()
            channel = self._channel
            if channel is not None and now - self._made < REMAKE:
                return channel
            credentials = None
            if self._options.secure:
                credentials = await asyncio.to_thread(_credentials, self._options)
            await self._let_go(0.0)
            if self._closed:
                raise StoreUnavailable(f"etcd at {self.address}: the client is closed")
            self._made = now
            target = f"dns:///{self.address}"
            if credentials is None:
                self._channel = grpc.aio.insecure_channel(target, _CHANNEL)
            else:
                self._channel = grpc.aio.secure_channel(target, credentials, _CHANNEL)
            return self._channel


def _credentials(options: EtcdOptions) -> grpc.ChannelCredentials:
    """What the files hold, looked at before gRPC, which says little. Raises StoreUnavailable."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ca = cert = key = None
    try:
        if options.ca is not None:
            ca = options.ca.read_bytes()
            context.load_verify_locations(cadata=ca.decode("ascii", "replace"))
        if options.cert is not None:
            path = options.key or options.cert
            cert, key = options.cert.read_bytes(), path.read_bytes()
            # Without a password: that of an encrypted key would be asked on the terminal.
            context.load_cert_chain(options.cert, path, password=lambda: b"")
    except (OSError, ssl.SSLError, ValueError) as error:
        files = ", ".join(str(path) for path in (options.ca, options.cert, options.key) if path)
        raise StoreUnavailable(
            f"etcd at {options.shown}: ca, cert and key ({files}) can't be used:"
            f" {getattr(error, 'strerror', None) or error}: expected PEM files"
        ) from error
    return grpc.ssl_channel_credentials(ca, key, cert)
