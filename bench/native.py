"""What is compiled for the benchmarks: the clients and the floor in C, CoreDNS in Go."""

import os
import shutil
import subprocess
from pathlib import Path

from bench.procs import BenchError

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / ".run" / "bench"
COREDNS_VERSION = "v1.15.0"
COREDNS_SECONDS = 1800


def program(name: str) -> str:
    """Path of a C program of this directory, compiled anew if its source is newer."""
    source = ROOT / "bench" / f"{name}.c"
    binary = BUILD / name
    newest = max(path.stat().st_mtime for path in (source, ROOT / "bench" / "client.h"))
    if binary.exists() and binary.stat().st_mtime >= newest:
        return str(binary)
    compiler = shutil.which("cc")
    if compiler is None:
        raise BenchError("cc is missing: install the package gcc")
    BUILD.mkdir(parents=True, exist_ok=True)
    command = [compiler, "-O2", "-Wall", "-Wextra", "-o", str(binary), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        raise BenchError(f"{source.name} does not compile:\n{done.stderr}")
    return str(binary)


def coredns() -> Path | None:
    """Path of CoreDNS, built by ``go install`` the first time (minutes); None where Go is not."""
    home = ROOT / ".run" / "go"
    binary = home / COREDNS_VERSION / "coredns"
    if binary.exists():
        return binary
    go = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    if go is None:
        return None
    binary.parent.mkdir(parents=True, exist_ok=True)
    settings = {
        "GOPATH": str(home),
        "GOBIN": str(binary.parent),
        "GOFLAGS": "-modcacherw -buildvcs=false",
    }
    done = subprocess.run(
        ["nice", go, "install", f"github.com/coredns/coredns@{COREDNS_VERSION}"],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
        timeout=COREDNS_SECONDS,
    )
    if done.returncode:
        raise BenchError(f"go install coredns@{COREDNS_VERSION} failed:\n{done.stderr[-2000:]}")
    return binary


def example(name: str) -> str:
    """Path of an example program of the Rust core, built in release mode by cargo."""
    cargo = shutil.which("cargo") or shutil.which(str(Path.home() / ".cargo" / "bin" / "cargo"))
    if cargo is None:
        raise BenchError("cargo is missing: see the README for which")
    if not (ROOT / "core" / "examples" / f"{name}.rs").exists():
        raise BenchError(f"core/examples/{name}.rs is not there")
    target = ROOT / ".run" / "bench" / "target"
    command = ["nice", cargo, "build", "--release", "--no-default-features"]
    where = [
        "--example",
        name,
        "--manifest-path",
        str(ROOT / "core" / "Cargo.toml"),
        "--target-dir",
        str(target),
    ]
    done = subprocess.run(
        command + where, capture_output=True, text=True, check=False, timeout=1800
    )
    if done.returncode:
        raise BenchError(f"cargo build --example {name} failed:\n{done.stderr[-2000:]}")
    return str(target / "release" / "examples" / name)
