"""The types of setting values: each checks a value and describes what it expects."""

import ipaddress
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeGuard, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, SecretBytes, SecretStr, ValidationInfo

from musterd.durations import parse_duration
from musterd.rr.names import name_from_text, name_to_text

MAX_PORT = 65535
SECRET_SIZE = 16
"""Bytes of a cookie secret (RFC 9018 section 4)."""
MAX_STRING = 255
"""Bytes of a character-string (RFC 1035 section 3.3)."""
MAX_SOCKET = 107
"""Bytes of the path of a unix socket (unix(7))."""
MAX_SUBSET = 255
"""Addresses of a ``subset`` policy."""

ETCD_PORT = 2379
MAX_ENDPOINTS = 16
MAX_PREFIX = 200
_STORE_URL = "etcd://HOST:PORT,HOST:PORT"
_ENDPOINT = re.compile(
    r"(https?://)?([A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?"
)
_NAME = re.compile(r"(?:\\[ -~]|[^\\\x00- \x7f\"$();@])+")
"""Text of a name without special characters that are not escaped."""
_SOURCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_TOKEN = re.compile(r"mst_[A-Za-z0-9_-]{43}")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Expected:
    """Describes the expected value in error messages. The value of a secret is never shown."""

    text: str
    secret: bool = False


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _ip_and_port(text: str) -> None:
    host, colon, port = text.rpartition(":")
    if not colon or not re.fullmatch("[0-9]{1,5}", port) or int(port) > MAX_PORT:
        raise ValueError("expected host:port with a port from 0 to 65535, such as 127.0.0.1:53")
    inner = host[1:-1] if host.startswith("[") and host.endswith("]") else None
    try:
        if inner is None:
            ipaddress.IPv4Address(host)
        else:
            ipaddress.IPv6Address(inner)
    except ValueError:
        hint = f"[{host}]:{port}" if _is_ipv6(host) else "127.0.0.1:53 or [::1]:53"
        raise ValueError(f"expected an IP address and a port, such as {hint}") from None


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _address(text: str) -> str:
    _ip_and_port(text)
    return text


def is_address(text: str) -> bool:
    """Return whether a text is an address with a port."""
    try:
        _ip_and_port(text)
    except ValueError:
        return False
    return True


def _address_or_off(text: str) -> str:
    return _address(text) if text else text


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        pass
    try:
        wide = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError("expected a network, such as 10.0.0.0/8 or fd00::/8") from None
    raise ValueError(f"expected a network without host bits, such as {wide}")


def _name(text: str) -> str:
    """Check a domain name in text form, and return its canonical text without the final dot."""
    if not text.isascii():
        raise ValueError(f"expected an ASCII name{_ascii_hint(text)}")
    try:
        wire = name_from_text(text)
    except ValueError as error:
        reason = str(error).rpartition(" is not a valid name: ")[2]
        raise ValueError(f"expected a DNS name; {reason}") from None
    if not _NAME.fullmatch(text):
        raise ValueError(
            'expected a DNS name; it has a space, a control character or one of "$();@, which need '
            "a backslash"
        )
    return name_to_text(wire)[:-1] or "."


def is_name(value: object) -> TypeGuard[str]:
    """Return whether a value is a domain name in text form."""
    try:
        return isinstance(value, str) and bool(_name(value))
    except ValueError:
        return False


def _ascii_hint(text: str) -> str:
    from musterd.rr.unicode import ascii_name  # noqa: PLC0415 - slow, and rarely needed

    try:
        return f'; write "{ascii_name(text)}"'
    except ValueError:
        return ""


def _policy(text: str) -> str:
    word, colon, count = text.partition(":")
    if word in {"all", "one", "rotate", "sticky"} and not colon:
        return text
    if word == "subset" and re.fullmatch("[0-9]{1,3}", count) and 0 < int(count) <= MAX_SUBSET:
        return f"subset:{int(count)}"
    raise ValueError(f"expected {POLICY_WORDS}")


def _seconds(value: object) -> object:
    """Convert the text of a duration to seconds, a whole number if it is one."""
    if not isinstance(value, str):
        return value
    try:
        seconds = parse_duration(value)
    except ValueError:
        return value
    return int(seconds) if seconds == int(seconds) else seconds


def _source_name(text: str) -> str:
    if not _SOURCE.fullmatch(text):
        raise ValueError("expected 1 to 63 of A-Z a-z 0-9 . _ - with a letter or digit first")
    return text


def _short(text: str) -> str:
    if len(text.encode()) > MAX_STRING:
        raise ValueError(f"expected at most {MAX_STRING} bytes")
    return text


def _secret(value: object) -> object:
    if not isinstance(value, str):
        return value
    if not re.fullmatch(f"[0-9A-Fa-f]{{{2 * SECRET_SIZE}}}", value):
        raise ValueError(f"expected {2 * SECRET_SIZE} hexadecimal digits")
    return SecretBytes(bytes.fromhex(value))


def _token(value: object) -> object:
    if not isinstance(value, str):
        return value
    if not value:
        return None
    if not _TOKEN.fullmatch(value):
        raise ValueError(
            "expected mst_ and 43 of A-Z a-z 0-9 - _, as printed by musterd token create"
        )
    return SecretStr(value)


def _password(value: object) -> object:
    if not isinstance(value, str):
        return value
    return SecretStr(value) if value else None


def _endpoint(text: str) -> str:
    """Check ``host:port`` with or without a scheme, and add etcd's port if there is none."""
    found = _ENDPOINT.fullmatch(text.removesuffix("/") if "://" in text else text)
    if not found or not 0 < int(found[3] or ETCD_PORT) <= MAX_PORT:
        raise ValueError(
            f"expected HOST:PORT, http://HOST:PORT or https://HOST:PORT, such as etcd-1:{ETCD_PORT}"
        )
    return f"{found[1] or ''}{found[2]}:{found[3] or ETCD_PORT}"


def _endpoints(given: tuple[str, ...]) -> tuple[str, ...]:
    """Check that all endpoints of an etcd have the same scheme, or none."""
    if len({endpoint.rpartition("://")[0] for endpoint in given}) > 1:
        raise ValueError("expected the same scheme, http:// or https://, for all endpoints")
    return given


def _store_url(text: str) -> str:
    """Check the URL of a store in etcd; its scheme applies to all of its endpoints."""
    if not text:
        return text
    scheme, parted, rest = text.partition("://")
    if scheme not in {"etcd", "http", "https"} or not parted or "@" in rest:
        raise ValueError(f'expected "" or {_STORE_URL}; set user and password with their own keys')
    prefix = "" if scheme == "etcd" else f"{scheme}://"
    parts = [part.removeprefix(f"{scheme}://") for part in rest.removesuffix("/").split(",")]
    endpoints = [_endpoint(prefix + part).removeprefix(prefix) for part in parts]
    if len(endpoints) > MAX_ENDPOINTS:
        raise ValueError(f"expected at most {MAX_ENDPOINTS} endpoints")
    return f"{scheme}://" + ",".join(endpoints)


def _key_prefix(text: str) -> str:
    if not text.startswith("/") or len(text.encode()) > MAX_PREFIX:
        raise ValueError(f"expected a text of at most {MAX_PREFIX} bytes that begins with /")
    return text.rstrip("/") + "/"


def _path(value: object, info: ValidationInfo) -> object:
    """Resolve a path relative to the directory of the settings file."""
    if not isinstance(value, str) or not value:
        return value
    if "\0" in value:
        raise ValueError("expected a path without a NUL character")
    base: Path = (info.context or {}).get("base", Path())
    try:
        return base / Path(value).expanduser()
    except RuntimeError:
        raise ValueError(f'expected a path; there is no home directory for "{value}"') from None


def _path_or_none(value: object, info: ValidationInfo) -> object:
    return None if value == "" else _path(value, info)


def _socket_or_none(value: object, info: ValidationInfo) -> object:
    path = _path_or_none(value, info)
    if isinstance(path, Path) and len(os.fsencode(path)) > MAX_SOCKET:
        raise ValueError(f"expected a path of at most {MAX_SOCKET} bytes, as of every unix socket")
    return path


POLICY_WORDS = f'"all", "one", "rotate", "sticky", or "subset:K" with K from 1 to {MAX_SUBSET}'

Address = Annotated[str, AfterValidator(_address), Expected("an address, such as 127.0.0.1:53")]
AddressOrOff = Annotated[
    str,
    AfterValidator(_address_or_off),
    Expected('an address, such as 127.0.0.1:9353, or "" for none'),
]
ShortText = Annotated[
    str, AfterValidator(_short), Expected(f"a text of at most {MAX_STRING} bytes")
]
Network = Annotated[str, AfterValidator(_network), Expected("a network, such as 10.0.0.0/8")]
Name = Annotated[str, AfterValidator(_name), Expected("a DNS name")]
Rcode = Literal[
    "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "BADVERS",
    "BADCOOKIE",
]  # fmt: skip
"""A response code that musterd sends."""
Policy = Annotated[str, AfterValidator(_policy), Expected(POLICY_WORDS)]
SourceName = Annotated[str, AfterValidator(_source_name), Expected("the name of a source")]
Secret = Annotated[
    SecretBytes,
    BeforeValidator(_secret),
    Expected(f"{2 * SECRET_SIZE} hexadecimal digits", secret=True),
]
TokenOrNone = Annotated[
    SecretStr | None,
    BeforeValidator(_token),
    Expected('the text of a token, or "" for none', secret=True),
]
PasswordOrNone = Annotated[
    SecretStr | None,
    BeforeValidator(_password),
    Expected('a password, or "" for none', secret=True),
]
Endpoint = Annotated[str, AfterValidator(_endpoint), Expected("HOST:PORT or https://HOST:PORT")]
StoreUrl = Annotated[str, AfterValidator(_store_url), Expected(f'"" or {_STORE_URL}')]
KeyPrefix = Annotated[
    str, AfterValidator(_key_prefix), Expected("a prefix of keys that begins with /")
]
FilePath = Annotated[Path, BeforeValidator(_path), Expected("the path of a file")]
PathOrNone = Annotated[
    Path | None, BeforeValidator(_path_or_none), Expected('a path, or "" for none')
]
SocketOrNone = Annotated[
    Path | None,
    BeforeValidator(_socket_or_none),
    Expected('the path of a unix socket, or "" for none'),
]
Seconds = Annotated[float, BeforeValidator(_seconds)]
"""Seconds, as a number or as the text of a duration."""
WholeSeconds = Annotated[int, BeforeValidator(_seconds)]
"""Whole seconds, as a number or as the text of a duration."""
Few = Annotated[tuple[_T, ...], BeforeValidator(_tuple), Field(max_length=64)]
Endpoints = Annotated[Few[Endpoint], AfterValidator(_endpoints)]
Many = Annotated[tuple[_T, ...], BeforeValidator(_tuple), Field(max_length=100_000)]


def key(default: Any, about: str, *, zero: str = "", unit: str = "", **limits: Any) -> Any:
    """Define a key of a section.

    default: the value if the key is absent, in TOML's types; ``...`` if the key is required.
    about: one line for the example file, without unit and range.
    zero: meaning of 0; unit: of a number, such as ``seconds``.
    limits: arguments of ``pydantic.Field``, and ``example``, ``derived``, ``reload``.
    """
    extra: dict[str, Any] = {"zero": zero, "unit": unit}
    extra |= {name: limits.pop(name) for name in ("example", "derived", "reload") if name in limits}
    return Field(default, description=about, json_schema_extra=extra, **limits)
