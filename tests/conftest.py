"""What every test starts from: no data folder, no network, no earlier runs."""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
REAL_DATA = Path(os.environ.get("COURSE_DATA_DIR", "").strip() or SHARED_DATA).resolve()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    """Give each test its own folders, and keep it off the network."""
    monkeypatch.delenv("COURSE_DATA_DIR", raising=False)
    monkeypatch.delenv("COURSE_PROFILE", raising=False)
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("COURSE_RUNS_DIR", str(tmp_path / "runs"))


@pytest.fixture
def real_data(monkeypatch):
    """Use the complete data sets, where they are."""
    if not (REAL_DATA / "cifar10.npz").is_file():
        pytest.skip("the complete data is not here: set COURSE_DATA_DIR to run this test")
    monkeypatch.setenv("COURSE_DATA_DIR", str(REAL_DATA))


def pytest_report_header():
    found = (REAL_DATA / "cifar10.npz").is_file()
    return f"data: {'complete CIFAR-10 and MNIST, and stand-ins' if found else 'stand-ins only'}"
