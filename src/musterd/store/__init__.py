"""The stores: ``embedded`` in one file for one process, ``etcd`` for several servers."""
