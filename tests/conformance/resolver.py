"""Results of the C library's ``getaddrinfo`` in a network namespace of its own.

``unshare --net --mount python -m tests.conformance.resolver OPTIONS NAME...`` serves a zone on
127.0.0.1:53 of the new network namespace, writes it to /etc/resolv.conf (with those options), and
prints a JSON object: for each name its addresses, or the error's name.
"""

import json
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.dnskit import core_with_zone, listening

ADDRESSES = "\n".join(f"many 60 IN A 10.0.1.{number}" for number in range(100))
ZONE = f"""
@ 60 IN SOA ns h 1 1 1 1 1
www 60 IN A 192.0.2.1
www 60 IN A 192.0.2.2
www 60 IN AAAA 2001:db8::1
four 60 IN A 192.0.2.4
six 60 IN AAAA 2001:db8::6
alias 60 IN CNAME www
text 60 IN TXT "no address"
{ADDRESSES}
"""


def look_up(name: str) -> list[str] | str:
    """Return the sorted addresses of a name, or the error's name."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        names = {socket.EAI_NONAME: "EAI_NONAME", socket.EAI_NODATA: "EAI_NODATA"}
        return names.get(error.errno or 0, str(error))
    return sorted({str(address[4][0]) for address in found})


def main() -> None:
    """Serve the zone, look up the names, print the results."""
    options, *names = sys.argv[1:]
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.TemporaryDirectory() as home:
        conf, hosts = Path(home) / "resolv.conf", Path(home) / "nsswitch.conf"
        conf.write_text(f"nameserver 127.0.0.1\nsearch example\noptions timeout:2 {options}\n")
        hosts.write_text("hosts: dns\n")
        for ours, path in ((conf, "/etc/resolv.conf"), (hosts, "/etc/nsswitch.conf")):
            subprocess.run(["mount", "--bind", str(ours), path], check=True)
        with listening(core_with_zone(ZONE), ["127.0.0.1:53"]):
            json.dump({name: look_up(name) for name in names}, sys.stdout)


if __name__ == "__main__":
    main()
