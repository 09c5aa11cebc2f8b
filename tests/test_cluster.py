"""Jobs on a Dask cluster of two processes of this computer."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from course_utils import records
from tools import cluster, pairing, record, run_notebooks

distributed = pytest.importorskip("distributed")

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = """
# %% [markdown]
# # A small notebook

# %%
import json, os

run = {
    "name": "02_small_0", "history": {"loss": [1.5]}, "seconds": 1.0, "seconds_before": 0.0,
    "read_back": False,
    "seed": 0, "settings": "5e77", "validation_images": 0, "backend": "none",
    "device": "cpu:0", "optimizer": {},
}
with open(os.environ["COURSE_RECORD"], "a") as file:
    print(json.dumps(run), file=file)
"""


@pytest.fixture(scope="module")
def two_workers():
    """A scheduler with two workers, as one that runs elsewhere: by its address."""
    # The workers are processes of their own: what they import comes from these folders.
    folders = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", folders)
        with distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, memory_limit=0, scheduler_kwargs=cluster.QUIET
        ) as started:
            yield started.scheduler_address


def power(base, exponent):
    if exponent < 0:
        raise ValueError(f"the exponent is {exponent}")
    return base**exponent, os.getpid()


def die():
    os._exit(1)


def test_results_are_those_of_a_loop_in_other_processes(two_workers):
    jobs = [(2, 3), (3, 2), (2, 10), (5, 0)]
    done = dict(cluster.spread(power, jobs, cluster=two_workers))
    assert {job: result for job, (result, _) in done.items()} == {
        job: power(*job)[0] for job in jobs
    }
    processes = {process for _, process in done.values()}
    assert os.getpid() not in processes and len(processes) <= 2


def test_a_failing_job_is_named_and_the_others_are_kept(two_workers):
    done = []
    with pytest.raises(cluster.JobsFailed) as failed:
        for job, _ in cluster.spread(power, [(2, 1), (2, -1), (2, 2)], cluster=two_workers):
            done.append(job)
    assert sorted(done) == [(2, 1), (2, 2)]
    assert str(failed.value) == (
        "job 2, -1 failed (ValueError: the exponent is -1): the other jobs are done."
    )
    assert [job for job, _ in failed.value.errors] == [(2, -1)]


def test_local_workers_end_with_the_last_job_even_if_one_dies():
    with pytest.raises(cluster.JobsFailed, match="KilledWorker"):
        list(cluster.spread(die, [()], cluster="local:1"))


@pytest.mark.parametrize("address", ["local", "local:0", "local:two", "127.0.0.1", "http://a:1"])
def test_a_wrong_address_says_what_it_may_be(address):
    with pytest.raises(ValueError, match=f"The cluster is '{address}': pass local:N"):
        next(cluster.spread(power, [(1, 1)], cluster=address))


def test_workers_that_share_a_process_are_refused():
    with distributed.LocalCluster(
        n_workers=1,
        threads_per_worker=2,
        processes=False,
        protocol="tcp",
        scheduler_kwargs=cluster.QUIET,
    ) as started:
        with pytest.raises(ValueError, match="runs 2 jobs at a time.*--nthreads 1"):
            next(cluster.spread(power, [(1, 1)], cluster=started.scheduler_address))


# --- records --------------------------------------------------------------------------------------


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course of one small notebook, whose records go to a folder of their own."""
    header = (ROOT / "notebooks" / "02_baseline.py").read_text(encoding="utf-8").split("# %%")[0]
    source = tmp_path / "notebooks" / "02_small.py"
    source.parent.mkdir()
    source.write_text(header + NOTEBOOK.lstrip(), encoding="utf-8")
    monkeypatch.setattr(pairing, "NOTEBOOKS", source.parent)
    monkeypatch.setattr(record, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(run_notebooks, "BUILD", tmp_path / "build")
    monkeypatch.setattr(record, "check_data", lambda: None)
    monkeypatch.setattr(record, "_measure_as_worker", measure_here)
    return source


def measure_here(source, profile, remark):
    """What a worker does, in the folders of the test and with any data."""
    run_notebooks.BUILD = (record.ROOT / source).parents[1] / "build"
    record.check_data = lambda: None
    return _measure_as_worker(source, profile, remark)


_measure_as_worker = record._measure_as_worker


def test_a_record_from_the_cluster_is_as_one_from_here(course, two_workers, capfd):
    quick = ["--profile", "quick", "--remark", "a remark", "02"]
    assert record.main(quick) == 0
    path = record.RESULTS / "quick" / "02_small.json"
    here = json.loads(path.read_text(encoding="utf-8"))
    path.unlink()
    assert record.main([*quick, "--cluster", two_workers]) == 0
    there = json.loads(path.read_text(encoding="utf-8"))
    seconds = {"notebook_seconds": 0, "peak_memory_mib": 0}
    assert there | seconds == here | seconds
    assert there["runs"][0]["name"] == "02_small_0" and there["remark"] == "a remark"
    assert capfd.readouterr().out.count("02_small:") == 1, "a worker speaks"


def test_a_notebook_that_stops_on_the_cluster_is_named(course, two_workers, capsys):
    course.write_text(course.read_text() + "\n# %%\nraise RuntimeError('broken on purpose')\n")
    assert record.main(["--cluster", two_workers, "02"]) == 1
    output = capsys.readouterr().out
    assert "02_small stopped" in output and "broken on purpose" in output
    assert not any(record.RESULTS.iterdir())


def test_a_wrong_cluster_ends_the_command_with_a_sentence(course, capsys):
    with pytest.raises(SystemExit):
        record.main(["--cluster", "somewhere", "02"])
    assert "pass local:N" in capsys.readouterr().err


def test_a_worker_outlives_stand_in_data(monkeypatch):
    monkeypatch.setattr(record, "check_data", lambda: sys.exit("MNIST is a stand-in here"))
    with pytest.raises(ValueError, match="is a stand-in here"), record.as_worker():
        pass


def test_the_example_of_the_book_writes_records(real_data, monkeypatch, tmp_path):
    page = (ROOT / "docs" / "past_one_machine.md").read_text(encoding="utf-8")
    [code] = re.findall(r"```python\n(.+?)```", page, flags=re.DOTALL)
    script = tmp_path / "rates.py"
    script.write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COURSE_PROFILE": "smoke"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    monkeypatch.setenv("COURSE_RESULTS_DIR", str(tmp_path / "rates"))
    runs = list(records.recorded_runs())
    assert len(runs) == len(done.stdout.splitlines()) == 4
    assert {len(same) for same in records.experiments(runs).values()} == {2}, "two seeds each"
    assert all(run["hardware"]["cores"] and run["versions"]["keras"] for run in runs)
