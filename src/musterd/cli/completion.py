"""``musterd completion``."""

from typing import Annotated, Literal

from cyclopts import Parameter

Shell = Annotated[Literal["bash", "zsh", "fish"], Parameter(help="The shell.")]

_MORE = {
    "zsh": "compdef _cyclopts_musterd musterd\n",
    "fish": """\
complete -c musterd -n 'not __fish_seen_subcommand_from serve check import' -f
complete -c musterd -l token-file -r -F
""",
}
"""Additions to the generated scripts: zsh evaluates its script, and fish must not offer files."""


def completion(shell: Shell, /) -> None:
    """Print a completion script for a shell.

    bash: eval "$(musterd completion bash)"; zsh: the same after compinit;
    fish: musterd completion fish | source.
    """
    from musterd.cli import app

    print(app.generate_completion(shell=shell) + _MORE.get(shell, ""), end="")
