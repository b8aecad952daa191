"""DNS service discovery for clusters.

Importing the package imports nothing else, so that its client side starts fast.
"""

__all__ = ["__version__"]


def __getattr__(name: str) -> str:
    if name == "__version__":
        from importlib.metadata import version

        return version("musterd")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
