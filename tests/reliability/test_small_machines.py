"""The course on a small machine: notebooks in 2 GB, memory that grows with the data alone."""

import importlib.util
import json
import sys
from pathlib import Path

import notebook_runs
import pytest

from tools import pairing, small_machine

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the memory")
ROOT = Path(__file__).resolve().parents[2]


def test_each_notebook_held_on_a_small_machine(row):
    kept = json.loads(small_machine.RESULT.read_text(encoding="utf-8"))
    results, lost = kept["notebooks"], []
    for source in pairing.sources():
        result = results.get(source.stem)
        if result is None:
            lost.append(f"{source.stem} never ran there: `make small NB={source.stem[:2]}`")
        elif not result["held"] or result["peak_mib"] > kept["limit_mib"]:
            lost.append(f"{source.stem} did not hold: {result['peak_mib']} MiB")
    assert (kept["profile"], kept["limit_mib"], kept["cpus"]) == ("quick", 2048, 1)
    row("machines").conclude(
        "quick_in_2_gb",
        "a notebook in the quick profile with one processor and 2 GB, a JupyterLab server included",
        tried=len(pairing.sources()),
        lost=lost,
        largest_peak_in_MiB=max(result["peak_mib"] for result in results.values()),
        longest_in_seconds=max(result["seconds"] for result in results.values()),
    )


def test_smoke_takes_little_beyond_the_libraries(trials, row):
    sources = trials(full=pairing.sources(), few=[])
    if not sources:
        pytest.skip("COURSE_RELIABILITY=full runs the notebooks; nbval holds them to their budgets")
    beyond = {
        source.stem: notebook_runs.alone(source, in_kernel=True).beyond_mib for source in sources
    }
    lost = [f"{name} takes {mib} MiB" for name, mib in beyond.items() if mib > 1024]
    largest = max(beyond, key=beyond.get)
    row("machines").conclude(
        "smoke_memory",
        "a notebook in the smoke profile within 1 GB beyond what importing its libraries takes",
        tried=len(sources),
        lost=lost,
        largest_in_MiB=f"{beyond[largest]} ({largest})",
        smallest_in_MiB=min(beyond.values()),
    )


def test_memory_grows_with_the_data_alone(trials, row):
    specification = importlib.util.spec_from_file_location(
        "scaling", ROOT / "benchmarks" / "scaling.py"
    )
    scaling = importlib.util.module_from_spec(specification)
    sys.modules["scaling"] = scaling
    specification.loader.exec_module(scaling)
    factors = trials(full=scaling.FACTORS, few=(1, 8))
    smallest = trials(full=5000, few=1000)
    scaling.measure(smallest)  # what the process takes once only
    costs = {factor: scaling.measure(factor * smallest) for factor in factors}
    lost = []
    for factor in factors[1:]:
        more_data = costs[factor].data_mib - costs[1].data_mib
        more = costs[factor].beyond_mib - costs[1].beyond_mib
        if more > more_data / 2:  # a copy would take all of it
            lost.append(f"{factor} times the images: {more:.0f} MiB more, {more_data:.0f} of data")
    work = [costs[factor].processor_seconds / factor for factor in factors]
    row("machines").conclude(
        "scaling",
        "a training on up to 8 times as many images takes as much memory beyond the images",
        tried=len(factors) - 1,
        lost=lost,
        MiB_beyond_the_images=", ".join(f"{cost.beyond_mib:.0f}" for cost in costs.values()),
        processor_time_of_an_image=", ".join(f"{seconds / work[0]:.2f}" for seconds in work),
    )
