"""The context of every subject: options, a scratch folder, and a console for progress."""

from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from bench.peers import Peer
from bench.procs import BenchError


@dataclass(frozen=True)
class Options:
    """Length of the measurement: ``rounds`` of ``seconds`` each; ``only``: names of peers."""

    rounds: int = 3
    seconds: float = 5.0
    only: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Return the options as they are saved with the result."""
        return {**asdict(self), "only": " ".join(self.only) or "all"}


@dataclass(frozen=True)
class Context:
    """Options, a temporary folder, and the console."""

    options: Options
    scratch: Path
    console: Console

    def say(self, text: str) -> None:
        """Print a line of progress."""
        self.console.print(text, style="dim", highlight=False)

    def present(self, peers: list[Peer]) -> list[Peer]:
        """Return the selected ``peers`` that are installed; report those that are missing.

        Raises BenchError if none is left.
        """
        present: list[Peer] = []
        for peer in peers:
            if self.options.only and peer.name not in self.options.only:
                continue
            try:
                reason = peer.missing()
            except BenchError as error:
                reason = str(error)
            if reason:
                self.say(f"without {peer.label}: {reason}")
            else:
                present.append(peer)
        if not present:
            raise BenchError("no server to measure")
        return present
