"""A running server: builds its services and ties them together."""
