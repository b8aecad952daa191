"""Importers for the systems that musterd replaces."""
