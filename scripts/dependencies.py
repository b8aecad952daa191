"""Print the requirements in pyproject.toml of the program or of development, one a line."""

import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parent.parent / "pyproject.toml"


def dependencies(*, development: bool) -> list[str]:
    """Return the requirements to build musterd and run its server, and those of development."""
    data = tomllib.loads(PROJECT.read_text())
    project = data["project"]
    wanted = [*data["build-system"]["requires"], *project["dependencies"]]
    wanted += [text for extra in project["optional-dependencies"].values() for text in extra]
    if development:
        wanted += data["dependency-groups"]["development"]
    return [text for text in wanted if not text.startswith(project["name"])]


if __name__ == "__main__":
    print("\n".join(dependencies(development=sys.argv[1:] == ["development"])))
