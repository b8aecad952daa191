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
"""What a script lacks: zsh evaluates it, so does not find it by its name; fish offers files."""


def completion(shell: Shell, /) -> None:
    """Print the script by which a shell completes musterd's commands and options.

    bash: eval "$(musterd completion bash)"; zsh: the same after compinit;
    fish: musterd completion fish | source.
    """
    from musterd.cli import app

    print(app.generate_completion(shell=shell) + _MORE.get(shell, ""), end="")
