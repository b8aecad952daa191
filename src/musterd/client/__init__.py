"""A client of the API, for the command line: blocking, of the standard library alone."""
