"""The course's address: one place, and links that follow it."""

import pytest

from tools import address, pairing


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course of two notebooks with an address of its own."""
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "x"\n[project.urls]\nRepository = "https://github.com/your_name/old"\n'
    )
    (tmp_path / "README.md").write_text("Before\n<!-- launch -->\nstale\n<!-- /launch -->\nAfter\n")
    (tmp_path / "notebooks").mkdir()
    for name in ("01_first.py", "02_second.py"):
        (tmp_path / "notebooks" / name).write_text("# %%\n1 + 1\n")
    monkeypatch.setattr(address, "ROOT", tmp_path)
    monkeypatch.setattr(pairing, "NOTEBOOKS", tmp_path / "notebooks")
    synced = []
    monkeypatch.setattr(pairing, "sync", synced.extend)
    return tmp_path, synced


def test_the_address_is_written_once_and_everything_follows(course):
    folder, synced = course
    assert address.main(["https://github.com/some-one/new.course/"]) == 0
    assert address.repository() == "https://github.com/some-one/new.course"
    readme = (folder / "README.md").read_text()
    assert readme.startswith("Before\n<!-- launch -->\n")
    assert readme.endswith("\n<!-- /launch -->\nAfter\n")
    assert "stale" not in readme
    binder = "https://mybinder.org/v2/gh/some-one/new.course/main?labpath=notebooks%2F"
    assert f"[02 on Binder]({binder}02_second.ipynb)" in readme
    colab = "https://colab.research.google.com/github/some-one/new.course/blob/main/notebooks/"
    assert f"[01 on Colab]({colab}01_first.ipynb)" in readme
    assert [path.name for path in synced] == ["01_first.py", "02_second.py"]
    assert address.main(["--check"]) == 0


def test_a_readme_that_disagrees_is_found(course, capsys):
    folder, _ = course
    assert address.main([]) == 0
    readme = folder / "README.md"
    readme.write_text(readme.read_text().replace("02_second", "02_renamed"))
    assert address.main(["--check"]) == 1
    assert "run `make address`" in capsys.readouterr().out


@pytest.mark.parametrize(
    "url",
    [
        "http://github.com/owner/name",
        "https://gitlab.com/owner/name",
        "https://github.com/owner",
        "https://github.com/your_name/keras-course",
        "https://github.com/owner/name/tree/main",
        'https://github.com/owner/na"me',
    ],
)
def test_another_address_is_refused_and_nothing_changes(course, url, capsys):
    folder, synced = course
    before = (folder / "pyproject.toml").read_text()
    assert address.main([url]) == 1
    assert "pass one such as https://github.com/OWNER/NAME." in capsys.readouterr().out
    assert (folder / "pyproject.toml").read_text() == before
    assert synced == []


def test_the_placeholder_says_that_its_links_lead_nowhere(course):
    assert not address.published()
    assert "lead nowhere yet" in address.launch_block()
    address.write("https://github.com/owner/name.git")
    assert address.published()
    assert "lead nowhere yet" not in address.launch_block()


def test_missing_markers_are_named(course, capsys):
    folder, _ = course
    (folder / "README.md").write_text("No place for links\n")
    assert address.main(["--check"]) == 1
    assert "README.md must hold <!-- launch -->" in capsys.readouterr().out


def test_the_readme_of_the_course_agrees_with_its_address():
    assert address.main(["--check"]) == 0
