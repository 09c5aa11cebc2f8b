"""Spread jobs over a Dask cluster: seeds, settings or whole notebooks, each on a free worker.

``spread(train, [(0.1, 0), (0.1, 1)], cluster="local:2")`` calls ``train(0.1, 0)`` and
``train(0.1, 1)`` in two processes of this computer. ``cluster="tcp://HOST:8786"`` takes the workers
of a running scheduler instead; each is started in its own copy of the course, with its own
environment: ``python -m dask worker tcp://HOST:8786 --nthreads 1``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from distributed import Client

# No page with plots of the jobs, and no port that other machines reach.
QUIET = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}

T = TypeVar("T")
Job = tuple[object, ...]


class JobsFailed(RuntimeError):
    """Some jobs failed; the others are done.

    Attributes
    ----------
    errors : list of tuple
        Each job that failed, and the exception that ended it.
    """

    def __init__(self, errors: list[tuple[Job, BaseException]]) -> None:
        sentences = [
            f"job {', '.join(map(str, job))} failed ({type(error).__name__}: {error})"
            for job, error in errors
        ]
        super().__init__("; ".join(sentences) + ": the other jobs are done.")
        self.errors = errors


def spread(
    function: Callable[..., T], jobs: Iterable[Job], *, cluster: str
) -> Iterator[tuple[Job, T]]:
    """Call a function once for each job, as many at a time as the cluster has workers.

    Parameters
    ----------
    function : callable
        Called with the values of a job. It runs in another process, often on another machine: it
        and its result must be picklable, and what it needs besides its arguments has to be there.
    jobs : iterable of tuple
        The arguments of each call, such as ``(recipe, seed)``.
    cluster : str
        ``"local:N"`` starts N processes here; ``"tcp://HOST:PORT"`` is a running Dask scheduler.

    Yields
    ------
    tuple
        Job and result, in the order in which they finish.

    Raises
    ------
    JobsFailed
        At the end, if jobs failed: all others have been yielded by then.
    ValueError
        If ``cluster`` is neither of the two, a worker would run several jobs in one process, or
        Dask is not installed.
    OSError
        If no scheduler answers.
    """
    with _connected(cluster) as client:
        from distributed import as_completed

        # A job that kills its worker is not tried again: it would kill the next one.
        futures = {
            client.submit(function, *job, pure=False, retries=0): job for job in map(tuple, jobs)
        }
        errors = []
        for future in as_completed(futures):
            error = future.exception()
            if error is None:
                yield futures[future], future.result()
            else:
                errors.append((futures[future], error))
    if errors:
        raise JobsFailed(errors)


@contextmanager
def _connected(cluster: str) -> Iterator[Client]:
    """Connect to a scheduler, or start one with workers that end with the block."""
    try:
        import dask
        from distributed import Client, LocalCluster
    except ModuleNotFoundError:
        raise ValueError(
            "Dask is not installed: pip install -e '.[cluster]' -c requirements.txt adds it."
        ) from None
    local = re.fullmatch(r"local:([1-9]\d*)", cluster)
    if not local and not re.fullmatch(r"(tcp|tls)://\S+:\d+", cluster):
        raise ValueError(
            f"The cluster is {cluster!r}: pass local:N for N processes on this computer, or the "
            "address of a Dask scheduler, such as tcp://127.0.0.1:8786."
        )
    if not local:
        with Client(cluster, timeout=10) as client:
            _check_workers(client)
            yield client
        return
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        LocalCluster(
            n_workers=int(local[1]),
            threads_per_worker=1,
            memory_limit=0,  # a job may take what there is, as without a cluster
            scheduler_kwargs=QUIET,
        ) as workers,
        Client(workers) as client,
    ):
        yield client


def _check_workers(client: Client) -> None:
    """Refuse workers that run several jobs in one process, where they would share variables."""
    client.wait_for_workers(1, timeout=10)
    for address, worker in client.scheduler_info(n_workers=-1)["workers"].items():
        if worker["nthreads"] != 1:
            raise ValueError(
                f"The worker {address} runs {worker['nthreads']} jobs at a time in one process: "
                "start it with --nthreads 1, and --nworkers for the number of processes."
            )
