"""All that is known now: every record, where it came from, and what is answered of it.

``Catalog`` takes the changes of the sources and tells the core which RRsets changed, nothing else.
"""

from musterd.catalog.catalog import Catalog
from musterd.catalog.explain import Contribution
from musterd.catalog.problems import Problem
from musterd.catalog.publisher import Core
from musterd.catalog.reports import SourceReport, ZoneReport

__all__ = ["Catalog", "Contribution", "Core", "Problem", "SourceReport", "ZoneReport"]
