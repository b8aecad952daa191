"""A musterd server with a registry, for subjects that write through its API."""

import http.client
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.peers import MUSTERD
from bench.procs import BenchError, Process, run_client
from bench.running import START_SECONDS, free_port
from bench.zone import ZONE
from musterd.registry.tokens import new_text

IMPORT_SECONDS = 120.0
POLL_SECONDS = 0.01
SETTINGS = """
[dns]
listen = ["127.0.0.1:{dns}"]
[metrics]
listen = ""
[api]
listen = "127.0.0.1:{api}"
[store]
url = "{store}"
[state]
dir = "state"
[[zones]]
name = "{zone}"
"""


@dataclass(frozen=True)
class ServerFixture:
    """The folder, ports and admin token of a server; its state survives restarts."""

    folder: Path
    store: str = ""
    """URL of the store; empty for the embedded one."""
    token: str = field(default_factory=new_text)
    dns: int = field(default_factory=free_port)
    api: int = field(default_factory=free_port)

    @property
    def token_file(self) -> Path:
        """The file that contains the token."""
        return self.folder / "token"

    @contextmanager
    def serve(self) -> Iterator[Process]:
        """Run the server, on any CPU, while the block runs."""
        self.folder.mkdir(exist_ok=True)
        self.token_file.write_text(self.token)
        settings = self.folder / "musterd.toml"
        settings.write_text(
            SETTINGS.format(dns=self.dns, api=self.api, store=self.store, zone=ZONE)
        )
        argv = [MUSTERD, "serve", "-c", str(settings)]
        environ = {"MUSTERD_API__FIRST_TOKEN": self.token}
        with Process(argv, self.folder / "log", None, environ) as process:
            yield process

    def wait_for_api(self, process: Process) -> None:
        """Wait until the API responds. Raises BenchError after START_SECONDS."""
        deadline = time.monotonic() + START_SECONDS
        while process.alive and time.monotonic() < deadline:
            connection = http.client.HTTPConnection("127.0.0.1", self.api, timeout=1)
            try:
                connection.request("GET", "/openapi.json")
                if connection.getresponse().status == http.client.OK:
                    return
            except OSError:
                time.sleep(POLL_SECONDS)
            finally:
                connection.close()
        raise BenchError(f"the server does not start; its log ends:\n{process.tail()}")

    def import_zone(self, zone: Path) -> None:
        """Register the records of a master file."""
        argv = ["env", f"MUSTERD_SERVER=http://127.0.0.1:{self.api}"]
        argv += [f"MUSTERD_TOKEN_FILE={self.token_file}", MUSTERD]
        run_client([*argv, "zone", "import", ZONE, str(zone)], IMPORT_SECONDS, None)
