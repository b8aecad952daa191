"""The store in an etcd, where several servers share it."""

from musterd.store.etcd.store import LIMITS, EtcdStore

__all__ = ["LIMITS", "EtcdStore"]
