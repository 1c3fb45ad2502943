"""Peers: the same no-op jobs through another queue on PostgreSQL, on the same machine in the same run.

Procrastinate is put into a throwaway environment, for it is no dependency of ours. It records each step as well, and knows
no users, quotas, leases or fair order.
"""

import os
import subprocess
import venv
from collections.abc import Iterator

import psycopg

from benchmarks.figures import Measured
from benchmarks.places import Place

_PROCESSES, _CONCURRENCY = 2, 8
_INSTALL_SECONDS = 180
_LONGEST_SECONDS = 300
_APP = """
import os, procrastinate
app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=os.environ["PEER_URL"]))
@app.task(name="nothing")
async def nothing():
    pass
"""
_FILL = """
import asyncio, sys
from peer import app, nothing
async def fill():
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        for _ in range(int(sys.argv[1]) // 1000):
            await nothing.batch_defer_async(*[{} for _ in range(1000)])
asyncio.run(fill())
"""
_RATE = """SELECT CAST(extract(epoch FROM at) AS float8) FROM procrastinate_events WHERE type = 'succeeded' ORDER BY at"""


def measure(place: Place, *, jobs: int) -> Iterator[Measured]:
    """Install the peer, fill its queue, and let two of its worker processes empty it."""
    folder = place.folder / "peer"
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "procrastinate", "psycopg[binary]"]
    subprocess.run(install, check=True, timeout=_INSTALL_SECONDS)
    (folder / "peer.py").write_text(_APP)
    url = place.url.replace("+psycopg", "", 1)
    environment = {**os.environ, "PEER_URL": url, "PYTHONPATH": str(folder)}
    subprocess.run([python, "-c", _FILL, str(jobs)], check=True, cwd=folder, env=environment, timeout=_LONGEST_SECONDS)
    command = [python, "-m", "procrastinate", "--app=peer.app", "worker", f"--concurrency={_CONCURRENCY}", "--one-shot"]
    running = [
        subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(_PROCESSES)
    ]
    try:
        for process in running:
            process.wait(_LONGEST_SECONDS)
    finally:
        for process in running:
            process.kill()
            process.wait()
    with psycopg.connect(url) as connection:
        moments = [row[0] for row in connection.execute(_RATE)]
    first, last = len(moments) // 10, len(moments) * 9 // 10
    rate = (last - first) / (moments[last] - moments[first])
    yield Measured(f"peer: procrastinate, {_PROCESSES} processes of concurrency {_CONCURRENCY}", rate, "jobs/s", "(to compare)")
