"""JupyterLab's servers, which take a moment to start."""

import json
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

START_SECONDS = 120


def answers(host: str, port: int) -> bool:
    """Tell whether somebody listens at this address."""
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError:
        return False
    return True


def wait_until_it_listens(server: subprocess.Popen, runtime: Path, log: Path) -> dict[str, Any]:
    """Return what a server tells of itself, such as port and token, once it listens there.

    It writes that into its runtime folder a moment before it listens.

    Raises
    ------
    RuntimeError
        If it ends before, or does not listen within two minutes: with the end of its log.
    """
    deadline = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        for path in runtime.glob("jpserver-*.json"):
            told = json.loads(path.read_text() or "{}")
            if told and answers("127.0.0.1", told["port"]):
                return told
        time.sleep(0.2)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()[-3000:]}")
