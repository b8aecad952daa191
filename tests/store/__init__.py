"""Tests of the stores: what each has to do, and what only one of them can."""
