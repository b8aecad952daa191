"""What every subject is given: options, a scratch folder, and a place to say how far it is."""

from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from bench.peers import Peer
from bench.procs import BenchError


@dataclass(frozen=True)
class Options:
    """How long to measure: ``rounds`` of ``seconds`` each."""

    rounds: int = 3
    seconds: float = 5.0
    only: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """For the record."""
        return {**asdict(self), "only": " ".join(self.only) or "all"}


@dataclass(frozen=True)
class Context:
    """Options, a scratch folder that goes away, and the console."""

    options: Options
    scratch: Path
    console: Console

    def say(self, text: str) -> None:
        """One line of progress."""
        self.console.print(text, style="dim", highlight=False)

    def present(self, peers: list[Peer]) -> list[Peer]:
        """Those of ``peers`` that are wanted and here; says which are not.

        Raises BenchError if none is.
        """
        here: list[Peer] = []
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
                here.append(peer)
        if not here:
            raise BenchError("no server to measure")
        return here
