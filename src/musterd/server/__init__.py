"""A running server and its services."""
