"""The machine and the versions that figures were taken with, and what they cost it."""

import os
import platform
import sqlite3
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg

_LIBRARIES = ("dramatiq", "litestar", "msgspec", "psycopg", "sqlalchemy", "sqlmodel", "uvicorn", "uvloop")
_TICKS = os.sysconf("SC_CLK_TCK")


def describe(postgres_url: str | None) -> dict[str, Any]:
    """Say what was measured on: processor, cores, memory, load, and the versions of everything that counts."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    versions = {"Python": platform.python_version(), "SQLite": sqlite3.sqlite_version}
    if postgres_url is not None:
        with psycopg.connect(postgres_url.replace("+psycopg", "", 1)) as connection:
            row = connection.execute("SHOW server_version").fetchone()
            versions["PostgreSQL"] = str(row[0]).split()[0] if row else "?"
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**30, 1),
        "kernel": platform.release(),
        "load_before": round(os.getloadavg()[0], 2),
        "versions": versions | {name: version(name) for name in _LIBRARIES},
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def family(pid: int) -> list[int]:
    """List a process and all that descend from it."""
    parent_of = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields:
                parent_of[int(entry.name)] = int(fields[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parent_of.items() if parent == one]
    return found


def cpu_seconds(pid: int) -> float:
    """Sum the processor time of a process, of all that descend from it, and of those of them that have ended."""
    ticks = 0
    for one in family(pid):
        fields = _stat(one)
        if fields:
            ticks += sum(int(field) for field in fields[11:15])
    return ticks / _TICKS


def started_at(pid: int) -> float:
    """Tell when a process was forked, in seconds of the machine's clock, to a hundredth."""
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    fields = _stat(pid)
    if not fields:
        raise ProcessLookupError(pid)
    return time.time() - uptime + int(fields[19]) / _TICKS


def memory_bytes(pid: int) -> dict[str, int]:
    """Read the resident and the proportional memory of a process, in bytes."""
    sizes = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in {"Rss", "Pss"}:
            sizes[name.lower()] = int(rest.split()[0]) * 1024
    return sizes


def _stat(pid: int) -> list[str] | None:
    """Read the fields of a process's line after its name; the first is its state, the second its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
