"""The catalog: every record with its origin, and the answers that follow from them.

``Catalog`` takes the changes of the sources and sends the core only the RRsets that changed.
"""

from musterd.catalog.catalog import Catalog
from musterd.catalog.explain import Contribution
from musterd.catalog.problems import Problem
from musterd.catalog.publisher import Core
from musterd.catalog.reports import SourceReport, ZoneReport

__all__ = ["Catalog", "Contribution", "Core", "Problem", "SourceReport", "ZoneReport"]
