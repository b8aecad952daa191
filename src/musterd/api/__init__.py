"""The HTTP API: what is registered, read and written; why a name is answered as it is."""
