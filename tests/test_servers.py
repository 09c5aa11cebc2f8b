"""What the tests know of a server before they ask it."""

import subprocess
import sys

import pytest
import servers

TELLS_FIRST = """
import json, pathlib, socket, sys, time
door = socket.socket()
door.bind(("127.0.0.1", 0))
told = json.dumps({"port": door.getsockname()[1], "token": "t"})
pathlib.Path(sys.argv[1], "jpserver-1.json").write_text(told)
time.sleep(1)
door.listen()
door.accept()
"""


@pytest.fixture
def wait(tmp_path):
    def start(program):
        log = tmp_path / "log"
        with log.open("w") as output:
            server = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stderr=output)
        try:
            return servers.wait_until_it_listens(server, tmp_path, log), server.wait(timeout=60)
        finally:
            server.kill()
            server.wait()

    return start


def test_a_server_that_tells_its_port_before_it_listens_is_waited_for(wait):
    told, status = wait(TELLS_FIRST)
    assert told["token"] == "t" and status == 0


def test_a_server_that_ends_is_told_with_its_log(wait):
    with pytest.raises(RuntimeError, match=r"did not start[\s\S]*no notebooks here"):
        wait("raise SystemExit('no notebooks here')")
