import errno
import os

import pytest

from course_utils import files


def test_a_file_is_replaced_when_the_new_one_is_complete(tmp_path):
    target = tmp_path / "result.json"
    target.write_text("old")
    with files.replacing(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old" and temporary.suffix == ".json"
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_a_failure_leaves_the_old_file_and_one_sentence(tmp_path):
    target = tmp_path / "result.json"
    target.write_text("old")
    with (
        pytest.raises(
            OSError, match=r"result\.json cannot be written \(No space left on device\): "
        ),
        files.replacing(target) as temporary,
    ):
        temporary.write_text("ne")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_what_a_killed_process_left_goes_after_an_hour(tmp_path):
    target = tmp_path / "state.npz"
    old, new, other = (
        tmp_path / name for name in (".state.1.npz", ".state.2.npz", ".state.of_mine.npz")
    )
    for path in (old, new, other):
        path.write_text("half")
    for path in (old, other):
        os.utime(path, (0, 0))
    with files.replacing(target) as temporary:
        temporary.write_text("whole")
    assert set(tmp_path.iterdir()) == {target, new, other}


def test_a_folder_inside_a_file_cannot_be_created(tmp_path):
    (tmp_path / "file").write_text("keep me")
    with pytest.raises(OSError, match=r"file.build cannot be created \(.+\): move elsewhere\.$"):
        files.writable(tmp_path / "file" / "build", "move elsewhere")
