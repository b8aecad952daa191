"""``musterd completion``."""

from typing import Annotated, Literal

from cyclopts import Parameter

Shell = Annotated[Literal["bash", "zsh", "fish"], Parameter(help="The shell.")]

_REGISTER = {"zsh": "compdef _cyclopts_musterd musterd\n"}
"""What a script lacks that is evaluated, not found by name in a folder of the shell's."""


def completion(shell: Shell, /) -> None:
    """Print the script by which a shell completes musterd's commands and options.

    bash: eval "$(musterd completion bash)"; zsh: the same after compinit;
    fish: musterd completion fish | source.
    """
    from musterd.cli import app

    print(app.generate_completion(shell=shell) + _REGISTER.get(shell, ""), end="")
