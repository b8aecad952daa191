"""Records that others write to etcd, in the layouts of SkyDNS, Hades and ContainerDNS."""

from musterd.sources.etcd.source import EtcdSource

__all__ = ["EtcdSource"]
