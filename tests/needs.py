"""Marks for tests that need a program of the system."""

import os
import shutil

import pytest

CI = bool(os.environ.get("CI"))


def needs(*programs: str) -> pytest.MarkDecorator:
    """Skip a test if a program is missing; under CI run it, so that it fails."""
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    missing = [name for name in programs if shutil.which(name, path=path) is None]
    return pytest.mark.skipif(bool(missing) and not CI, reason=f"missing: {', '.join(missing)}")
