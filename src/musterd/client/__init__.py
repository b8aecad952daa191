"""A blocking client of the API for the command line; it needs only the standard library."""
