"""Names for what runs in a cluster: DNS service discovery and cluster formation.

Importing the package imports nothing else, so that its client side stays light.
"""

__all__ = ["__version__"]


def __getattr__(name: str) -> str:
    if name == "__version__":
        from importlib.metadata import version

        return version("musterd")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
