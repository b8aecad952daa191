"""One endpoint of etcd: its gRPC channel, replaced if it stays broken.

Each endpoint has its own channel, so that a member's certificate is checked against its own host
name, and errors name the endpoint that doesn't answer.
"""

import asyncio
import ssl
from errno import ENOENT
from pathlib import Path
from typing import Any, Final

import grpc

from musterd.etcd.methods import A, Method, Q
from musterd.etcd.options import EtcdOptions
from musterd.kv.errors import StoreUnavailable

PING: Final = 5.0
"""Seconds between pings of a connection; the minimum that etcd allows."""
PONG: Final = 3.0
"""Seconds after which a ping without an answer ends the connection."""
MAX_RECONNECT_DELAY: Final = 2.0
"""Longest time between the channel's own connection attempts, seconds."""
REMAKE: Final = 10.0
"""Seconds without a connection before the channel is replaced and its TLS files are read again."""
MAX_ANSWER_BYTES: Final = 67_108_864
"""Largest accepted message, bytes."""

CA_FILES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
"""Files with the system's CA certificates, if OpenSSL does not name one:
Debian, Fedora, SUSE, Alpine."""

_State = grpc.ChannelConnectivity
_CHANNEL: Final[tuple[tuple[str, Any], ...]] = (
    ("grpc.keepalive_time_ms", round(PING * 1000)),
    ("grpc.keepalive_timeout_ms", round(PONG * 1000)),
    # This timeout ends a connection; its default is 60 s.
    ("grpc.http2.ping_timeout_ms", round(PONG * 1000)),
    ("grpc.http2.max_pings_without_data", 0),
    # etcd closes connections that are pinged while no call is open, and each time gRPC then halves
    # its ping rate. An open watch counts as a call.
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", round(MAX_RECONNECT_DELAY * 1000)),
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
    # A name may have many addresses, for example the name of a headless service.
    ("grpc.lb_policy_name", "round_robin"),
    # Otherwise a new channel reuses the broken connections of the old one.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
    ("grpc.max_send_message_length", -1),
)


class EtcdEndpoint:
    """A member of etcd, or a proxy for several; belongs to the running loop."""

    def __init__(self, address: str, options: EtcdOptions) -> None:
        """Create an endpoint for ``host:port``; opens no connection yet."""
        self.address = address
        self._options = options
        self._channel: grpc.aio.Channel | None = None
        self._closed = False
        self._made = 0.0
        """Time when the channel was created, or last seen connected."""
        self._making = asyncio.Lock()
        self._callables: dict[str, Any] = {}

    async def connect(self, seconds: float) -> None:
        """Wait until connected, or until connecting failed; a call then fails with the reason.

        Raises StoreUnavailable if that takes too long, or a TLS file can't be used.
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
                f"etcd at {self.address}: not connected in {seconds:.1f} s: check that it runs, and"
                " that the network path is open"
            ) from None

    def unary(self, method: Method[Q, A]) -> "grpc.aio.UnaryUnaryMultiCallable[Q, A]":
        """Return a unary callable; call ``connect`` first. Raises StoreUnavailable."""
        if method.path not in self._callables:
            self._callables[method.path] = self._open_channel.unary_unary(
                method.path, method.question.SerializeToString, method.answer.FromString
            )
        found: grpc.aio.UnaryUnaryMultiCallable[Q, A] = self._callables[method.path]
        return found

    def stream(self, method: Method[Q, A]) -> "grpc.aio.StreamStreamMultiCallable[Q, A]":
        """Return a stream callable; call ``connect`` first. Raises StoreUnavailable."""
        return self._open_channel.stream_stream(
            method.path, method.question.SerializeToString, method.answer.FromString
        )

    async def close(self, grace: float) -> None:
        """Close the endpoint. grace: seconds for pending requests to finish."""
        self._closed = True
        await self._close_channel(grace)

    async def _close_channel(self, grace: float) -> None:
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
        """Return the channel, a new one if the old one has been broken for long."""
        async with self._making:
            now = asyncio.get_running_loop().time()
            channel = self._channel
            if channel is not None and now - self._made < REMAKE:
                return channel
            credentials = None
            if self._options.secure:
                credentials = await asyncio.to_thread(_credentials, self._options)
            await self._close_channel(0.0)
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
    """Read and check the TLS files, because gRPC's errors are vague. Raises StoreUnavailable."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    cert = key = None
    try:
        ca = (options.ca or system_ca()).read_bytes()
        context.load_verify_locations(cadata=ca.decode("ascii", "replace"))
        if options.cert is not None:
            path = options.key or options.cert
            cert, key = options.cert.read_bytes(), path.read_bytes()
            # An empty password, as otherwise an encrypted key prompts on the terminal.
            context.load_cert_chain(options.cert, path, password=lambda: b"")
    except (OSError, ssl.SSLError, ValueError) as error:
        files = ", ".join(str(path) for path in (options.ca, options.cert, options.key) if path)
        raise StoreUnavailable(
            f"etcd at {options.shown}: ca, cert and key ({files}) can't be used:"
            f" {getattr(error, 'strerror', None) or error}: expected PEM files"
        ) from error
    return grpc.ssl_channel_credentials(ca, key, cert)


def system_ca() -> Path:
    """Return the file with the CA certificates that the system trusts. Raises OSError.

    By default, gRPC trusts a list of its own instead.
    """
    known = (ssl.get_default_verify_paths().cafile, *CA_FILES)
    for path in known:
        if path and Path(path).is_file():
            return Path(path)
    raise FileNotFoundError(ENOENT, "the system has no file of CA certificates; set ca")
