"""Certificates for tests."""

import subprocess
from pathlib import Path


def openssl(*words: object) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


def make(folder: Path, days: int = 2) -> tuple[Path, Path]:
    """A new certificate and its key; with 0 days it has expired."""
    cert, key, wanted = folder / "cert.pem", folder / "key.pem", folder / "wanted.pem"
    new = folder / "new.pem"
    ec = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-new", *ec, "-subj", "/CN=lab.internal", "-keyout", key, "-out", wanted)
    openssl("x509", "-req", "-in", wanted, "-signkey", key, "-days", days, "-out", new)
    new.rename(cert)
    return cert, key
