"""The store in an etcd, where several servers share it."""

from musterd.store.etcd.store import LIMITS, Etcd

__all__ = ["LIMITS", "Etcd"]
