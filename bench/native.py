"""Programs compiled for the benchmarks: clients and floor in C, CoreDNS in Go."""

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
    """Return the path of a C program of this directory, compiled if its source is newer."""
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
    """Return the path of CoreDNS, None without Go; the first call builds it, for a minute."""
    home = ROOT / ".run" / "go"
    folder = home / f"coredns-{COREDNS_VERSION}"
    binary = folder / "coredns"
    if binary.exists():
        return binary
    go = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    if go is None:
        return None
    # Only the plugins in use: all of CoreDNS takes four minutes to build.
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "bench" / "coredns.go", folder / "main.go")
    (folder / "go.mod").write_text(
        f"module coredns\n\nrequire github.com/coredns/coredns {COREDNS_VERSION}\n"
    )
    settings = {"GOPATH": str(home), "GOFLAGS": "-modcacherw -buildvcs=false -mod=mod"}
    done = subprocess.run(
        ["nice", go, "build", "-o", str(binary), "."],
        cwd=folder,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
        timeout=COREDNS_SECONDS,
    )
    if done.returncode:
        raise BenchError(f"building CoreDNS {COREDNS_VERSION} failed:\n{done.stderr[-2000:]}")
    return binary


def example(name: str) -> str:
    """Return the path of an example program of the core, built by cargo in release mode."""
    cargo = shutil.which("cargo") or shutil.which(str(Path.home() / ".cargo" / "bin" / "cargo"))
    if cargo is None:
        raise BenchError("cargo is missing: the README says which version")
    if not (ROOT / "core" / "examples" / f"{name}.rs").exists():
        raise BenchError(f"core/examples/{name}.rs is missing")
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
