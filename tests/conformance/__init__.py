"""Conformance: musterd beside NSD, Knot and BIND, beside dnspython, and against the RFCs."""
