import subprocess
import sys

import pytest

from course_utils import profiles


def test_quick_is_the_default(monkeypatch):
    assert profiles.active().name == "quick"
    monkeypatch.setenv("COURSE_PROFILE", "")
    assert profiles.active().name == "quick"


@pytest.mark.parametrize("name", ["smoke", "quick", "full"])
def test_pick_returns_the_value_of_the_active_profile(monkeypatch, name):
    monkeypatch.setenv("COURSE_PROFILE", name)
    assert profiles.active().pick(smoke="smoke", quick="quick", full="full") == name


def test_a_wrong_profile_names_the_valid_ones(monkeypatch):
    monkeypatch.setenv("COURSE_PROFILE", "fast")
    with pytest.raises(ValueError, match="'fast'.*smoke, quick, full"):
        profiles.active()


def test_start_refuses_an_unknown_notebook():
    with pytest.raises(ValueError, match="no notebook '99'"):
        profiles.start("99")


def test_start_prints_one_line_and_nothing_on_standard_error():
    code = "from course_utils import profiles; profiles.start('02'); import keras"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1
    assert "Profile quick" in done.stdout
    assert "Keras 3." in done.stdout


def test_start_keeps_tensorflow_from_warning_about_each_small_model():
    code = (
        "from course_utils import profiles; profiles.start('02'); import logging; "
        "print(logging.getLogger('tensorflow').getEffectiveLevel() == logging.ERROR)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "True"


def test_importing_the_package_loads_nothing_heavy():
    code = (
        "import sys, course_utils; "
        "print([m for m in ('keras', 'tensorflow', 'numpy', 'holoviews') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
