"""The HTTP API: register and read records, and explain answers."""
