"""What every test starts from: no data folder, no network, no earlier runs."""

import os
from pathlib import Path
from types import SimpleNamespace

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


class Notebook:
    """Stands for the shell of a notebook with a reader, and keeps what is displayed."""

    def __init__(self):
        self.kernel = SimpleNamespace(_allow_stdin=True)
        self.formatters = {}
        formatter = SimpleNamespace(for_type=self.formatters.__setitem__)
        self.display_formatter = SimpleNamespace(mimebundle_formatter=formatter)
        self.shown, self.metadata, self.handles = [], [], 0

    def display(self, data, raw=False, metadata=None, display_id=None):
        self.handles += bool(display_id)
        self.update(data, raw=raw, metadata=metadata)
        return self

    def update(self, data, raw=False, metadata=None):
        assert raw
        self.shown.append(data)
        self.metadata.append(metadata)

    @property
    def live(self):
        """What was shown before the last update."""
        return self.shown[:-1]


@pytest.fixture
def notebook(monkeypatch):
    """Pretend that the test is a cell of a notebook, after `extension()`."""
    from course_utils import display

    fake = Notebook()
    monkeypatch.setattr(display, "shell", lambda: fake)
    monkeypatch.setattr("IPython.display.display", fake.display)
    monkeypatch.setattr(display, "_options", display._options)
    display.extension()
    fake.shown.clear()
    fake.metadata.clear()
    return fake


def pytest_report_header():
    found = (REAL_DATA / "cifar10.npz").is_file()
    return f"data: {'complete CIFAR-10 and MNIST, and stand-ins' if found else 'stand-ins only'}"
