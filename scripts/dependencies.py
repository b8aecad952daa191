"""Prints what the development environment needs, from pyproject.toml, one requirement a line."""

import tomllib
from pathlib import Path

PROJECT = Path(__file__).parent.parent / "pyproject.toml"


def dependencies() -> list[str]:
    """The requirements of the package, of all its extras, and of the group ``development``."""
    data = tomllib.loads(PROJECT.read_text())
    project = data["project"]
    wanted = [
        *data["build-system"]["requires"],
        *project["dependencies"],
        *(one for extra in project["optional-dependencies"].values() for one in extra),
        *data["dependency-groups"]["development"],
    ]
    return [one for one in wanted if not one.startswith(project["name"])]


if __name__ == "__main__":
    print("\n".join(dependencies()))
