"""Run each notebook on a machine as small as Binder's: the work behind ``make small``.

``python -m tools.small_machine [02 05 ...]`` runs notebooks in the quick profile with 2 GB of
memory and one CPU, from nothing trained, and says whether each held. The limit covers the kernel,
a JupyterLab server beside it, and the process that hands over the cells. Linux enforces the memory
by a control group where one may be made (by itself or through systemd) and is seen to work;
elsewhere the processes are watched and stopped. ``results/small_machine.json`` keeps what was
measured; a notebook that held is run again once something changed on which it depends.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from course_utils import files
from tools import pairing, run_notebooks

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "results" / "small_machine.json"
PROFILE = "quick"
LIMIT_MIB = 2048
CONTROL_GROUPS = Path("/sys/fs/cgroup")
EVERY = 0.5  # seconds between two looks at the memory


@dataclass(frozen=True)
class Limit:
    """What keeps a command inside the limit."""

    name: str
    prefix: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result:
    """How a notebook did."""

    key: str
    held: bool
    seconds: float
    peak_mib: int
    enforcement: str
    data: list[str]
    recorded: str
    hardware: dict[str, Any]
    versions: dict[str, str]
    remark: str = ""


def control_group_parents() -> Iterator[tuple[Path, str]]:
    """Yield the folders of this process's control groups for memory, with the limit's file."""
    for line in Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "memory":
            yield CONTROL_GROUPS / "memory" / path.lstrip("/"), "memory.limit_in_bytes"
        elif controllers == "":
            yield CONTROL_GROUPS / path.lstrip("/"), "memory.max"


@contextlib.contextmanager
def memory_limit(mib: int) -> Iterator[Limit]:
    """Offer the strictest limit that this machine allows and that is seen to work."""
    for parent, file in control_group_parents():
        group = parent / f"course-{os.getpid()}"
        try:
            if limit := _of_group(group, file, mib):
                yield limit
                return
        finally:
            with contextlib.suppress(OSError):  # it was not made, or a process stayed in it
                group.rmdir()
    scope = ("systemd-run", "--user", "--scope", "--quiet", "--collect")
    sizes = ("-p", f"MemoryMax={mib}M", "-p", "MemorySwapMax=0")
    limit = Limit("systemd scope (MemoryMax)", (*scope, *sizes))
    found = shutil.which(scope[0]) and enforces(limit, mib)
    yield limit if found else Limit(f"watched every {EVERY} s, stopped above the limit")


def _of_group(group: Path, file: str, mib: int) -> Limit | None:
    """Make a control group, and return its limit if the machine lets it count."""
    with contextlib.suppress(OSError):
        group.mkdir()
        (group / file).write_text(str(mib << 20), encoding="ascii")
        join = ("sh", "-c", 'echo $$ > "$0" && exec "$@"', str(group / "cgroup.procs"))
        limit = Limit(f"control group ({file})", join)
        if enforces(limit, mib):
            return limit
    return None


def enforces(limit: Limit, mib: int) -> bool:
    """Tell whether a process that fills less than the limit lives, and one that fills more dies."""
    fill = "import sys; block = bytearray(1) * (int(sys.argv[1]) << 20)"
    ends = [
        subprocess.run(
            [*limit.prefix, sys.executable, "-c", fill, str(size)],
            check=False,
            capture_output=True,
        ).returncode
        for size in (mib // 2, mib + 100)
    ]
    return ends[0] == 0 and ends[1] != 0


def resident(process: psutil.Process) -> float:
    """Return the resident memory of a process and its descendants in MiB.

    Pages that they share are counted for each of them, so the sum is never too small. A fair share
    of these pages (PSS) would be, wherever processes outside use the same libraries.
    """
    total = 0
    for member in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            total += member.memory_info().rss
    return total / 2**20


def watch(command: list[str], environment: dict[str, str], limit_mib: int) -> tuple[int, float]:
    """Run a command, and stop it if it takes more memory than the limit.

    Returns
    -------
    int
        Its exit status; not zero if it was stopped.
    float
        The most memory it held at once with its descendants, in MiB.
    """
    peak = 0.0
    process = subprocess.Popen(command, env=environment, cwd=ROOT)
    family = psutil.Process(process.pid)
    try:
        while process.poll() is None:
            with contextlib.suppress(psutil.NoSuchProcess):
                peak = max(peak, resident(family))
            if peak > limit_mib:
                break
            time.sleep(EVERY)
    finally:
        if process.poll() is None:
            for member in [*family.children(recursive=True), family]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.kill()
    return process.wait(), peak


def inside(source: Path, report: Path) -> int:
    """Run a notebook beside a JupyterLab server: this is the process that is limited."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    # The server is there for its memory: nobody connects to it.
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip", "127.0.0.1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        notebook, execution = run_notebooks.execute(source, PROFILE)
        served = server.poll() is None
    finally:
        server.kill()
        server.wait()
    printed = "".join(
        output.text
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.output_type == "stream"
    )
    data = re.findall(r"^(.+ from .+): [\d,]+ of [\d,]+ training", printed, flags=re.MULTILINE)
    text = json.dumps({"seconds": execution.seconds, "data": sorted(set(data))})
    report.write_text(text, encoding="utf-8")
    return 0 if served else 1


def run(source: Path) -> Result:
    """Run one notebook within the limit."""
    from tools import record  # imports Keras, which the limited process shall not

    key = run_notebooks.key(source, PROFILE)
    with tempfile.TemporaryDirectory() as folder, memory_limit(LIMIT_MIB) as limit:
        report = Path(folder) / "report.json"
        start = "import sys, pathlib; from tools import small_machine; "
        start += "sys.exit(small_machine.inside(*map(pathlib.Path, sys.argv[1:])))"
        command = [*limit.prefix, sys.executable, "-c", start, str(source), str(report)]
        environment = {**os.environ, "COURSE_RUNS_DIR": f"{folder}/runs"}
        began = time.monotonic()
        status, peak = watch(command, environment, LIMIT_MIB)
        seconds, data = time.monotonic() - began, []
        if status == 0:
            seconds, data = json.loads(report.read_text(encoding="utf-8")).values()
    return Result(
        key,
        status == 0,
        round(seconds, 1),
        round(peak),
        f"memory: {limit.name}; CPU: affinity to one",
        data,
        datetime.datetime.now(datetime.UTC).date().isoformat(),
        record.hardware(),
        record.versions(),
    )


def keep(name: str, result: Result) -> None:
    """Write the result of a notebook beside those of the others."""
    content = _kept() | {name: asdict(result)}
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    header = {"profile": PROFILE, "limit_mib": LIMIT_MIB, "cpus": 1}
    text = json.dumps(header | {"notebooks": dict(sorted(content.items()))}, indent=1)
    with files.replacing(RESULT) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def _kept() -> dict[str, Any]:
    if not RESULT.is_file():
        return {}
    notebooks: dict[str, Any] = json.loads(RESULT.read_text(encoding="utf-8"))["notebooks"]
    return notebooks


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("numbers", nargs="*", help="two-digit numbers; default: all notebooks")
    parser.add_argument("--remark", default="", help="what a reader of the seconds has to know")
    options = parser.parse_args(arguments)
    sources = pairing.chosen(options.numbers, parser)
    if sys.platform != "linux":
        print("Memory and CPUs are limited by Linux only: run this on Linux, or in a container.")
        return 1
    failed = []
    for source in sources:
        before = _kept().get(source.stem, {})
        if before.get("held") and before["key"] == run_notebooks.key(source, PROFILE):
            result = Result(**before)
            print(f"{source.stem}: unchanged since it held", end="")
        else:
            result = replace(run(source), remark=options.remark)
            keep(source.stem, result)
            print(f"{source.stem}: {'held' if result.held else 'DID NOT HOLD'}", end="")
            if not result.held:
                failed.append(source.stem)
        print(
            f", {result.seconds:.0f} s, at most {result.peak_mib:,} of {LIMIT_MIB:,} MiB "
            f"({result.enforcement})"
        )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
