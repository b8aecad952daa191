"""Settings: valid and invalid files, and the error messages."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from musterd import settings
from musterd.errors import SettingsError
from musterd.settings.environ import variables
from musterd.settings.model import Settings
from musterd.settings.watch import refused
from tests.conftest import Write

GOOD = """\
[dns]
listen = ["127.0.0.1:53", "[::1]:53"]
cookie_secrets = ["00112233445566778899aabbccddeeff"]
allow = ["10.0.0.0/8", "192.0.2.1"]
[state]
dir = ""
[log]
file = "log/musterd.log"
[[zones]]
name = "Lab.internal."
sources = ["b", "a"]
policy = "subset:3"
[zones.soa]
rname = 'john\\.doe.lab.internal'
[[zones]]
name = "2.0.192.in-addr.arpa"
[[sources.zonefile]]
name = "a"
zone = "lab.INTERNAL"
path = "a.zone"
[[sources.zonefile]]
name = "b"
zone = "lab.internal"
path = "/b.zone"
"""


def problems(path: Path, environ: dict[str, str] | None = None) -> list[str]:
    """Each problem, without the directory of the file."""
    with pytest.raises(SettingsError) as caught:
        settings.load(path, environ or {})
    return [text.removeprefix(f"{path.parent}/") for text in caught.value.problems]


def test_valid_file(write: Write) -> None:
    path = write(GOOD)
    loaded = settings.load(path, {})
    assert loaded.dns.listen == ("127.0.0.1:53", "[::1]:53")
    assert loaded.dns.allow == ("10.0.0.0/8", "192.0.2.1/32")
    assert loaded.dns.cookie_secrets[0].get_secret_value() == bytes.fromhex(
        "00112233445566778899aabbccddeeff"
    )
    assert loaded.state.dir is None
    assert loaded.log.file == path.parent / "log/musterd.log"
    first, second = loaded.zones
    assert (first.name, first.policy) == ("Lab.internal", "subset:3")
    assert (first.soa.mname, first.soa.rname) == ("ns.Lab.internal", "john\\.doe.lab.internal")
    assert [source.name for source in loaded.sources_of(first)] == ["b", "a"]
    assert loaded.sources_of(second) == ()
    assert [source.path for source in loaded.sources.zonefile] == [
        path.parent / "a.zone",
        Path("/b.zone"),
    ]


def test_empty_file_has_the_defaults(write: Write) -> None:
    loaded = settings.load(write(""), {})
    assert loaded.dns.listen == ("127.0.0.1:5300",)
    assert loaded.dns.allow == ("0.0.0.0/0", "::/0")
    assert loaded.metrics.listen == "127.0.0.1:9353"
    assert loaded.state.dir == Path("/var/lib/musterd")
    assert loaded.zones == ()


def test_zone_without_sources_has_all_that_serve_it(write: Write) -> None:
    loaded = settings.load(write(GOOD.replace('sources = ["b", "a"]\n', "")), {})
    assert [source.name for source in loaded.sources_of(loaded.zones[0])] == ["a", "b"]


def test_zone_may_name_its_file(write: Write) -> None:
    text = "[[zones]]\nname = 'Z.test.'\nfile = 'a/b.zone'\n[[zones]]\nname = '.'\nfile = '/r'\n"
    path = write(text)
    loaded = settings.load(path, {})
    first, root = loaded.sources.zonefile
    assert (first.name, first.zone, first.path) == ("z.test", "Z.test", path.parent / "a/b.zone")
    assert (root.name, root.zone, root.path) == ("root", ".", Path("/r"))
    assert [source.name for source in loaded.sources_of(loaded.zones[0])] == ["registry", "z.test"]


def test_sources_have_default_names(write: Write) -> None:
    text = (
        "[[zones]]\nname = 'z.test'\n[[sources.zonefile]]\nzone = 'z.test'\npath = 'z'\n"
        "[[sources.etcd]]\nendpoints = ['a']\nzones = ['z.test']\n"
        "[[sources.etcd]]\nendpoints = ['a']\nzones = ['z.test']\nlayout = 'hades'\n"
    )
    loaded = settings.load(write(text), {})
    assert [source.name for source in loaded.sources.each()] == ["z.test", "skydns", "hades"]


def test_path_may_begin_with_the_home_directory(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/of")
    loaded = settings.load(write("[state]\ndir = '~/state'\n"), {})
    assert loaded.state.dir == Path("/home/of/state")


def test_times_may_have_units(write: Write) -> None:
    text = "[dns]\ntcp_idle = '1m'\n[[zones]]\nname = 'z.test'\nttl = '5m'\nstale_after = '1.5s'\n"
    loaded = settings.load(write(text), {"MUSTERD_STORE__TIMEOUT": "500ms"})
    zone = loaded.zones[0]
    assert (loaded.dns.tcp_idle, zone.ttl, zone.stale_after) == (60, 300, 1.5)
    assert loaded.store.timeout == 0.5


def test_secrets_are_hidden(write: Write) -> None:
    loaded = settings.load(write(GOOD), {})
    for text in (repr(loaded), str(loaded), loaded.model_dump_json()):
        assert "0011" not in text
        assert "\\x00\\x11" not in text


def test_settings_are_frozen(write: Write) -> None:
    loaded = settings.load(write(""), {})
    with pytest.raises(ValueError, match="frozen"):
        loaded.dns.workers = 3


ONE = "[[zones]]\nname = 'z.test'\n"
FILE = "[[sources.zonefile]]\nname = 'a'\nzone = 'z.test'\npath = 'a'\n"
WHOLE_TTL = 'a whole number from 0 to 2147483647 (seconds, or a text such as "5m")'
POLICIES = '"all", "one", "rotate", "sticky", or "subset:K" with K from 1 to 255'
LONG = "a" * 64

REFUSED: list[tuple[str, list[str]]] = [
    (
        '\n\n\n\n\n[dns]\nworkers = "four"',
        ['7: dns.workers: got "four", expected a whole number from 0 to 64 (0: one per core)'],
    ),
    ("dns.workers = 65", ["1: dns.workers: got 65, expected a whole number from 0 to 64"]),
    ("dns.workers = true", ["1: dns.workers: got true, expected a whole number"]),
    ("dns.workers = 1.0", ["1: dns.workers: got 1.0, expected a whole number"]),
    (
        "dns.tcp_idle = nan",
        ["1: dns.tcp_idle: got nan, expected a number from 0.1 to 3600 (seconds, or"],
    ),
    ("dns.cookies = 1", ["1: dns.cookies: got 1, expected true or false"]),
    ("dns.version = 9", ["1: dns.version: got 9, expected a text of at most 255 bytes"]),
    (f"dns.version = '{LONG * 4}'", ["1: dns.version: got "]),
    ("dns.server_id = 1979-05-27", ["1: dns.server_id: got 1979-05-27, expected a text"]),
    ("dns = 3", ["1: dns: got 3, expected a table"]),
    (
        "dns.listen = '127.0.0.1:53'",
        ['1: dns.listen: got "127.0.0.1:53", expected a list of 1 to 64, each an address'],
    ),
    ("dns.listen = []", ["1: dns.listen: got a list of 0, expected a list of 1 to 64"]),
    (
        "dns.listen = ['127.0.0.1:1',\n'::1:53',\n'localhost:53', 'x', '1.2.3.4:70000',"
        "\n'127.0.0.1:1']",
        [
            '2: dns.listen[1]: got "::1:53", expected an IP address and a port, such as [::1]:53',
            '3: dns.listen[2]: got "localhost:53", expected an IP address and a port',
            '3: dns.listen[3]: got "x", expected host:port',
            '3: dns.listen[4]: got "1.2.3.4:70000", expected host:port with a port from 0 to 65535',
            '4: dns.listen[5]: "127.0.0.1:1" is listed twice',
        ],
    ),
    (
        "dns.listen = ['127.0.0.1:9353']",
        ['1: dns.listen[0]: "127.0.0.1:9353" is in use by [metrics] listen; set another port'],
    ),
    (
        "api.listen = '127.0.0.1:7'\nmetrics.listen = '127.0.0.1:7'\ndns.listen = ['127.0.0.1:7']",
        [
            '1: api.listen: "127.0.0.1:7" is in use by [dns] listen; set another port, or ""',
            '2: metrics.listen: "127.0.0.1:7" is in use by [dns] listen; set another port, or ""',
        ],
    ),
    (
        "metrics.listen = '[::1]:7'\ndns.listen = ['127.0.0.1:7', '[0::0:1]:7']",
        ['1: metrics.listen: "[::1]:7" is in use by [dns] listen, which is "[0::0:1]:7"; set'],
    ),
    (
        "metrics.listen = '0.0.0.0:8053'",
        ['1: metrics.listen: "0.0.0.0:8053" is in use by [api] listen, which is "127.0.0.1:8053"'],
    ),
    (
        "dns.listen = ['[::1]:5',\n'[0::1]:5']",
        ['2: dns.listen[1]: "[0::1]:5" is listed twice'],
    ),
    (
        "dns.allow = ['10.0.0.1/8']",
        ['1: dns.allow[0]: got "10.0.0.1/8", expected a network without host bits, such as'],
    ),
    ("dns.allow = ['ten']", ['1: dns.allow[0]: got "ten", expected a network, such as 10.0.0.0/8']),
    (
        "dns.cookie_secrets = ['abc']",
        ["1: dns.cookie_secrets[0]: got a secret of 3 characters, expected 32 hexadecimal digits"],
    ),
    (
        "dns.cookie_secrets = 'abcd'",
        ["1: dns.cookie_secrets: got a secret of 4 characters, expected a list"],
    ),
    ("metrics.listen = 'x'", ['1: metrics.listen: got "x", expected host:port']),
    (
        "log.level = 'loud'",
        ['1: log.level: got "loud", expected "debug", "info", "warning" or "error"'],
    ),
    ("log.file = 7", ['1: log.file: got 7, expected a path, or "" for none']),
    ("[dns]\nlistn = 1", ['2: dns.listn: unknown key, did you mean "listen"?']),
    ("[log]\nxyzzy = 1", ["2: log.xyzzy: unknown key, expected file, format or level"]),
    ("[[zone]]", ['1: zone: unknown key, did you mean "zones"?']),
    ("[[sources.zonfile]]", ['1: sources.zonfile: unknown key, did you mean "zonefile"?']),
    ("[zones]\nname = 'a'", ["1: zones: got a table, expected a list"]),
    (f"{ONE}file = 1", ['3: zones[0].file: got 1, expected a path, or "" for none']),
    (
        f"{ONE}file = 'a'\n[[sources.zonefile]]\nzone = 'z.test'\npath = 'b'",
        ['3: zones[0].file: source "z.test" is declared twice; give one of them another name'],
    ),
    ("[state]\ndir = '~nobody-here/a'", ['2: state.dir: got "~nobody-here/a", expected a path; ']),
    (f"{ONE}ttl = '1500ms'", [f"3: zones[0].ttl: got 1.5, expected {WHOLE_TTL}"]),
    ("zones = [1]", ["1: zones[0]: got 1, expected a table"]),
    (
        "[[zones]]\nttl = -1",
        [
            "1: zones[0].name: missing, expected a DNS name",
            f"2: zones[0].ttl: got -1, expected {WHOLE_TTL}",
        ],
    ),
    (
        "[[zones]]\nname = 'müster.local'",
        ['2: zones[0].name: got "müster.local", expected an ASCII name; write "xn--mst'],
    ),
    (
        "[[zones]]\nname = 'a..b'",
        ['2: zones[0].name: got "a..b", expected a DNS name; it has an empty label'],
    ),
    (
        "[[zones]]\nname = 'a b'",
        ['2: zones[0].name: got "a b", expected a DNS name; it has a space'],
    ),
    (
        "[[zones]]\nname = 'a\\999'",
        ['2: zones[0].name: got "a\\\\999", expected a DNS name; \\999 is not'],
    ),
    (
        f"[[zones]]\nname = '{LONG}.b'",
        [f'2: zones[0].name: got "{LONG[:59]}…, expected a DNS name; it has a label of 64'],
    ),
    (f"[[zones]]\nname = '{'.'.join([LONG[1:]] * 4)}'", ["2: zones[0].name: got"]),
    (f"{ONE}policy = 'most'", [f'3: zones[0].policy: got "most", expected {POLICIES}']),
    (f"{ONE}policy = 'subset:0'", [f'3: zones[0].policy: got "subset:0", expected {POLICIES}']),
    (f"{ONE}merge = 'both'", ['3: zones[0].merge: got "both", expected "first" or "union"']),
    (f"{ONE}soa.refresh = 'x'", [f'3: zones[0].soa.refresh: got "x", expected {WHOLE_TTL}']),
    (f"{ONE}soa = {{ rnam = 1 }}", ['3: zones[0].soa.rnam: unknown key, did you mean "rname"?']),
    (f"{ONE}[[zones]]\nname = 'Z.TEST.'", ['4: zones[1].name: zone "Z.TEST." is declared twice']),
    (
        f"{ONE}[[zones]]\nname = '\\122.test'",
        ['4: zones[1].name: zone "\\122.test" is declared twice'],
    ),
    (f"{ONE}sources = ['b']\n{FILE}", ['3: zones[0].sources[0]: unknown source "b"']),
    (f"{ONE}sources = ['a', 'a']\n{FILE}", ['3: zones[0].sources[1]: source "a" is listed twice']),
    (
        f"{ONE}[[zones]]\nname = 'y.test'\nsources = ['a']\n{FILE}",
        ['5: zones[1].sources[0]: source "a" does not serve zone "y.test"'],
    ),
    (f"{ONE}{FILE}{FILE}", ['8: sources.zonefile[1].name: source "a" is declared twice']),
    (
        FILE,
        ['3: sources.zonefile[0].zone: zone "z.test" is not declared; add it to [[zones]]'],
    ),
    (
        ONE + FILE.replace("'a'", "'a b'"),
        ['4: sources.zonefile[0].name: got "a b", expected 1 to 63 of A-Z'],
    ),
    ("dns = {", ["1: is not TOML: "]),
    ("[dns]\n[dns]", ["2: is not TOML: Cannot declare dns twice (column "]),
    ("[a.'b c']\n[a.'b c']", ['2: is not TOML: Cannot declare a."b c" twice (column ']),
    ("a = {}\n[a.b]", ["2: is not TOML: Cannot declare "]),
    ("a = {}\na.b = 1", ["2: is not TOML: Cannot "]),
    (
        "query_log.names = ['*.lab']",
        ['1: query_log.names[0]: "*.lab" is not a pattern here; write "lab", which includes all'],
    ),
    ("dnstap.names = ['lab',\n'*']", ['2: dnstap.names[1]: "*" is not a pattern here; write "."']),
    ("api.hosts = ['*.lab']", ['1: api.hosts[0]: "*.lab" is not a pattern here; list each name']),
    ("a = 1\na = 2", ["2: is not TOML: Cannot overwrite a value"]),
    ("x = [\n1\n", ["2: is not TOML: Unclosed array (the file ends here)"]),
    ("x = " + "[" * 20000, [" arrays or tables are nested too deeply"]),
]


@pytest.mark.parametrize(("text", "expected"), REFUSED, ids=[text[:50] for text, _ in REFUSED])
def test_invalid_file(write: Write, text: str, expected: list[str]) -> None:
    found = problems(write(text))
    assert len(found) == len(expected), found
    for line, start in zip(found, expected, strict=True):
        assert line.startswith(f"musterd.toml:{start}")


def test_all_errors_are_reported_at_once_in_order(write: Write) -> None:
    text = (
        "[dns]\nlistn = 1\nworkers = 'x'\n"
        + ONE
        + "sources = ['b']\n[[sources.zonefile]]\nname = 'a'\nzone = 'y'\n"
    )
    found = problems(write(text), {"MUSTERD_LOG__LEVEL": "loud", "MUSTERD_LOG__LEVL": "info"})
    assert [line.split(": ")[:2] for line in found] == [
        ["musterd.toml:2", "dns.listn"],
        ["musterd.toml:3", "dns.workers"],
        ["musterd.toml:6", "zones[0].sources[0]"],
        ["musterd.toml:7", "sources.zonefile[0].path"],
        ["musterd.toml:9", "sources.zonefile[0].zone"],
        ["MUSTERD_LOG__LEVEL", "log.level"],
        ["MUSTERD_LOG__LEVL", 'unknown variable, did you mean "MUSTERD_LOG__LEVEL"?'],
    ]


def test_unreadable_file(tmp_path: Path) -> None:
    assert problems(tmp_path / "none.toml") == [
        "none.toml: can't be read: No such file or directory"
    ]
    assert problems(tmp_path) == [f"{tmp_path.name}: can't be read: Is a directory"]
    (tmp_path / "bytes.toml").write_bytes(b"a = 1\nb = '\xff'\n")
    assert problems(tmp_path / "bytes.toml") == ["bytes.toml:2: is not UTF-8"]
    with (tmp_path / "large.toml").open("wb") as file:
        file.truncate(16 * 2**20 + 1)
    assert problems(tmp_path / "large.toml") == ["large.toml: is larger than 16777216 bytes"]


ENVIRON: list[tuple[dict[str, str], str, Any]] = [
    ({"MUSTERD_DNS__LISTEN": "127.0.0.1:53,[::1]:53"}, "dns.listen", ("127.0.0.1:53", "[::1]:53")),
    ({"MUSTERD_DNS__PROXY_FROM": ""}, "dns.proxy_from", ()),
    ({"MUSTERD_DNS__WORKERS": "3"}, "dns.workers", 3),
    ({"MUSTERD_DNS__COOKIES": "false"}, "dns.cookies", False),
    ({"MUSTERD_DNS__TCP_IDLE": "2.5"}, "dns.tcp_idle", 2.5),
    ({"MUSTERD_DNS__TCP_IDLE": "2"}, "dns.tcp_idle", 2.0),
    ({"MUSTERD_DNS__VERSION": "1"}, "dns.version", "1"),
    ({"MUSTERD_LOG__LEVEL": "debug"}, "log.level", "debug"),
    ({"MUSTERD_METRICS__LISTEN": ""}, "metrics.listen", ""),
    ({"MUSTERD_STATE__DIR": ""}, "state.dir", None),
    ({"MUSTERD_TOKEN": "x", "MUSTERD_SERVER": "y"}, "dns.workers", 1),
    (
        {"MUSTERD_PORT": "tcp://10.0.0.1:53", "MUSTERD_PORT_53_UDP_ADDR": "10.0.0.1"},
        "dns.workers",
        1,
    ),
    (
        {"MUSTERD_METRICS_SERVICE_HOST": "10.0.0.1", "MUSTERD_SERVICE_PORT_DNS": "53"},
        "dns.workers",
        1,
    ),
]


@pytest.mark.parametrize(("environ", "key", "value"), ENVIRON, ids=[str(e) for e, _, _ in ENVIRON])
def test_environment_overrides_the_file(
    write: Write, environ: dict[str, str], key: str, value: Any
) -> None:
    loaded = settings.load(write("dns.workers = 1\ndns.version = 'x'\nlog.level = 'info'"), environ)
    section, _, name = key.partition(".")
    assert getattr(getattr(loaded, section), name) == value


@pytest.mark.parametrize(
    "text",
    [
        "dns.listen = ['127.0.0.1:0', '127.0.0.1:0']\nmetrics.listen = '127.0.0.1:0'",
        "dns.listen = ['127.0.0.1:7', '[::1]:7']\nmetrics.listen = '127.0.0.2:7'",
        "dns.listen = ['127.0.0.1:7', '0.0.0.0:7']",
        "dns.listen = ['[::]:7']\nmetrics.listen = '0.0.0.0:7'",
        "dns.listen = ['127.0.0.1:8053']\nstate.dir = ''",
        "dns.listen = ['127.0.0.1:8053']\napi.listen = ''",
    ],
)
def test_different_addresses_load(write: Write, text: str) -> None:
    settings.load(write(text), {})


def test_invalid_address_is_not_also_listed_twice(write: Write) -> None:
    found = problems(write(""), {"MUSTERD_DNS__LISTEN": ","})
    assert len(found) == 2
    assert all("expected host:port" in problem for problem in found)


def test_byte_order_mark_is_skipped(write: Write) -> None:
    path = write("")
    path.write_bytes(b"\xef\xbb\xbfdns.workers = 3\n")
    assert settings.load(path, {}).dns.workers == 3
    path.write_bytes(b"\xef\xbb\xbf[dns]\nworkers = 'x'\n")
    assert problems(path)[0].startswith("musterd.toml:2: dns.workers: ")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("DNS__WORKERS", "four", 'dns.workers: got "four", expected a whole number from 0 to 64'),
        ("DNS__WORKERS", "", 'dns.workers: got "", expected a whole number'),
        ("DNS__COOKIES", "yes", 'dns.cookies: got "yes", expected true or false'),
        ("DNS__LISTEN", "127.0.0.1:53,x", 'dns.listen[1]: got "x", expected host:port'),
        ("DNS__COOKIE_SECRETS", "s3cret", "dns.cookie_secrets[0]: got a secret of 6 characters"),
        ("DNS__LISTN", "x", 'unknown variable, did you mean "MUSTERD_DNS__LISTEN"?'),
        ("ZONES_", "x", 'unknown variable, did you mean "MUSTERD_ZONES"?'),
        ("IMAGE", "x", "unknown variable; remove it, or name a key as in MUSTERD_DNS__LISTEN"),
        ("", "x", "unknown variable; remove it"),
        ("ZONES", "[{", "is not JSON: Expecting property name"),
        (
            "ZONES",
            '["secret"',
            "is not JSON: Expecting ',' delimiter (line 1, column 10); expected",
        ),
        ("ZONES", "[" * 100_000, "is nested too deeply"),
        ("ZONES", "{}", "zones: got a table, expected a list"),
        ("ZONES", '[{"name": 1}]', "zones[0].name: got 1, expected a DNS name"),
        ("ZONES", '[{"name": "a", "file": 1}]', "zones[0].file: got 1, expected a path"),
        ("SOURCES__ZONEFILE", '[{"zone": "x"}]', "sources.zonefile[0]"),
    ],
)
def test_invalid_environment(write: Write, name: str, value: str, expected: str) -> None:
    problem, *_ = problems(write(""), {f"MUSTERD_{name}": value})
    assert problem.startswith(f"MUSTERD_{name}: {expected}")
    if name == "ZONES":
        # It may hold a password.
        assert "secret" not in problem


def test_invalid_item_is_reported_once(write: Write) -> None:
    """The list is not reported as too short as well."""
    source = "[[zones]]\nname = 'a.b'\n[[sources.etcd]]\nname = 's'\nzones = ['a.b']\n"
    assert problems(write(f"{source}endpoints = ['ftp://a:2379']")) == [
        'musterd.toml:6: sources.etcd[0].endpoints[0]: got "ftp://a:2379", expected HOST:PORT, '
        "http://HOST:PORT or https://HOST:PORT, such as etcd-1:2379"
    ]
    (problem,) = problems(write(f"{source}endpoints = []"))
    assert "got a list of 0, expected a list of 1 to 64" in problem


def test_example_has_the_default_of_every_key(write: Write) -> None:
    text = settings.example()
    loaded = settings.load(write(text), {})
    bare = (
        "[[zones]]\nname = 'lab.internal'\n"
        "[[sources.zonefile]]\nname = 'example'\nzone = 'lab.internal'\npath = 'example.zone'\n"
        "[[sources.etcd]]\nname = 'example-etcd'\nzones = ['lab.internal']\n"
        "endpoints = ['127.0.0.1:2379']\n"
    )
    assert loaded == settings.load(write(bare), {})
    uncommented = tomllib.loads(
        text.replace("\n# mname", "\nmname").replace("\n# rname", "\nrname")
    )
    assert set(uncommented["zones"][0]) == set(settings.ZoneSettings.model_fields)
    assert set(uncommented["zones"][0]["soa"]) == set(settings.Soa.model_fields)
    for name in ("dns", "metrics", "store", "state", "log"):
        section = Settings.model_fields[name].annotation
        assert section is not None
        assert set(uncommented[name]) == set(section.model_fields)
    assert max(map(len, text.splitlines())) <= 100


def test_every_scalar_and_every_list_has_a_variable() -> None:
    names = set(variables(Settings))
    assert {"MUSTERD_DNS__LISTEN", "MUSTERD_STATE__DIR", "MUSTERD_LOG__FORMAT"} <= names
    assert {name for name in names if "ZONES" in name or "SOURCES" in name} == {
        "MUSTERD_ZONES",
        "MUSTERD_SOURCES__ETCD",
        "MUSTERD_SOURCES__ZONEFILE",
    }


def test_zones_and_sources_in_the_environment_replace_those_of_the_file(write: Write) -> None:
    environ = {
        "MUSTERD_ZONES": '[{"name": "e.test", "file": "e.zone", "ttl": "1m"}]',
        "MUSTERD_SOURCES__ETCD": '[{"endpoints": ["a"], "zones": ["e.test"]}]',
    }
    path = write(ONE)
    loaded = settings.load(path, environ)
    assert [(zone.name, zone.ttl) for zone in loaded.zones] == [("e.test", 60)]
    assert [source.name for source in loaded.sources.each()] == ["e.test", "skydns"]
    assert loaded.sources.zonefile[0].path == path.parent / "e.zone"


def test_store_in_etcd(write: Write) -> None:
    text = (
        '[store]\nurl = "etcd://a,b.test:23790,[::1]:2379"\nprefix = "/prod"\nca = "ca.pem"\n'
        'user = "app"\npassword = "pa55"\n[state]\ndir = ""\n[api]\nlisten = ""\n' + ONE
    )
    path = write(text)
    environ = {"ETCD_CACERT": "other.pem", "ETCD_TLSPEM": "c.pem", "ETCD_TLSKEY": "/k.pem"}
    loaded = settings.load(path, environ)
    store = loaded.store
    assert store.endpoints == ("a:2379", "b.test:23790", "[::1]:2379")
    assert (store.ca, store.cert) == (path.parent / "ca.pem", path.parent / "c.pem")
    assert (store.key, store.prefix) == (Path("/k.pem"), "/prod/")
    assert [source.name for source in loaded.sources_of(loaded.zones[0])] == ["registry"]
    for text in (repr(loaded), loaded.model_dump_json()):
        assert "pa55" not in text
    # Without a store in etcd, these variables have no effect.
    assert settings.load(write(ONE), environ).store.ca is None


@pytest.mark.parametrize(
    ("url", "endpoints", "tls"),
    [
        ("etcd://a,b:1", ("a:2379", "b:1"), False),
        ("http://a", ("http://a:2379",), False),
        ("https://a/", ("https://a:2379",), True),
        ("https://a:1,https://[::1]:2", ("https://a:1", "https://[::1]:2"), True),
        ("https://a:1,b", ("https://a:1", "https://b:2379"), True),
    ],
)
def test_scheme_of_etcd_turns_tls_on(
    write: Write, url: str, endpoints: tuple[str, ...], *, tls: bool
) -> None:
    text = f"store.url = '{url}'\n{ONE}[[sources.etcd]]\nzones = ['z.test']\n"
    loaded = settings.load(write(f"{text}endpoints = {list(endpoints)}\n"), {})
    (source,) = loaded.sources.etcd
    for part in (loaded.store, source):
        assert part.endpoints == endpoints
        assert part.uses_tls(part.endpoints) == tls


def test_tls_files_of_the_environment_do_not_apply_to_plain_http(write: Write) -> None:
    loaded = settings.load(write("store.url = 'http://a'"), {"ETCD_CACERT": "/ca.pem"})
    assert loaded.store.ca is None


ETCD = "[store]\nurl = 'etcd://a'\n"
SOURCE = f"{ONE}[[sources.etcd]]\nzones = ['z.test']\n"
STORES: list[tuple[str, list[str]]] = [
    ("store.url = 'a:2379'", ['1: store.url: got "a:2379", expected "" or etcd://HOST:PORT']),
    (
        "store.url = 'etcd://me:secret@a'",
        ['1: store.url: got "etcd://…@a", expected "" or etcd://HOST:PORT'],
    ),
    (
        "store = { url = 'http://a', ca = 'c' }",
        ["1: store.ca: conflicts with http://, which turns TLS off; use https://, or remove"],
    ),
    (
        f"{SOURCE}endpoints = ['http://a', 'https://b']",
        ["5: sources.etcd[0].endpoints: got a list of 2, expected the same scheme"],
    ),
    ("store.url = 'https://a,http://b'", ['1: store.url: got "https://a,http://b", expected']),
    ("store.url = 'https://a/b'", ['1: store.url: got "https://a/b", expected HOST:PORT']),
    ("store.url = 'etcd://a:0'", ['1: store.url: got "etcd://a:0", expected HOST:PORT']),
    ("store.url = 'etcd://'", ['1: store.url: got "etcd://", expected HOST:PORT']),
    (f"{ETCD}prefix = 'x'", ['3: store.prefix: got "x", expected a text of at most 200 bytes']),
    (
        f"{ETCD}user = 'u'\npassword = 5",
        ["4: store.password: got a secret of 1 characters, expected"],
    ),
    (f"{ETCD}cert = 'c'", ["3: store.cert: also needs key"]),
    (f"{ETCD}user = 'u'", ["3: store.user: also needs password or password_file"]),
    (f"{ETCD}timeout = 0", ["3: store.timeout: got 0, expected a number from 0.5 to 60"]),
    ("store.ca = 'c'", ["1: store.ca: applies only to etcd; set url, or remove this key"]),
    (
        f"{SOURCE}endpoints = ['a']\nlayout = 'hades'\nwildcard_queries = true",
        ['7: sources.etcd[0].wildcard_queries: applies only to layout = "skydns"; remove this key'],
    ),
    (f"{ETCD}[state]\ndir = ''", ['2: store.url: with [state] dir = "", the first token']),
]


@pytest.mark.parametrize(("text", "expected"), STORES, ids=[text[:50] for text, _ in STORES])
def test_invalid_store(write: Write, text: str, expected: list[str]) -> None:
    test_invalid_file(write, text, expected)


def test_changed_store_needs_a_restart(write: Write) -> None:
    before = settings.load(write(ETCD), {})
    after = settings.load(write(ETCD + "user = 'u'\npassword = 'p'\n"), {})
    assert refused(before, after) == ["store.user", "store.password"]
