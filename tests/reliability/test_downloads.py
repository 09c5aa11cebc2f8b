"""Downloads that go wrong, from a server on this machine."""

import contextlib
import hashlib
import http.server
import multiprocessing
import os
import re
import socket
import struct
import threading
from pathlib import Path

import numpy as np
import pytest
from test_datasets import arrays, save

from course_utils import datasets

SEED = 2026
PAGE = b"<!DOCTYPE html><title>Log in</title>" + b"<p>Please pay for the network.</p>" * 40


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as the server's present fault does."""

    def do_GET(self):
        with contextlib.suppress(ConnectionError):  # the client may have given up
            self.server.requests.append(self.headers.get("Range"))
            self.server.fault(self)

    def log_message(self, *_):
        pass

    def answer(self, body, *, status=None, length=None, start=None):
        """Send a body; a ``length`` of ``""`` is left out."""
        if start is None:
            start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        self.send_response(status or (206 if start else 200))
        if length != "":
            self.send_header("Content-Length", str(len(body) - start if length is None else length))
        self.end_headers()
        self.wfile.write(body[start:])


def works(handler):
    handler.answer(handler.server.content)


class Server(http.server.ThreadingHTTPServer):
    """Serves a small MNIST; ``over`` is set when nobody waits for an answer any more."""

    def __init__(self, content):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.requests, self.fault = content, [], works
        self.generator, self.over = np.random.default_rng(SEED), threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/mnist.npz"

    def part(self):
        """Return a random part of the content, from its start."""
        return self.content[: self.generator.integers(1, len(self.content))]


def publish(patch, url, archive):
    """Make MNIST the small set of an archive that is published at an address."""
    patch.delenv("COURSE_OFFLINE", raising=False)
    patch.setitem(datasets.DATASETS, "mnist", small_mnist(url, archive))
    patch.setitem(datasets.CHECKSUMS, "mnist", checksums())


def small_mnist(url, archive):
    return datasets.DATASETS["mnist"]._replace(
        url=url,
        train_size=20,
        test_size=20,
        archive_bytes=len(archive),
        archive_checksum=hashlib.sha256(archive).hexdigest(),
        make_stand_in=lambda: datasets.Data("digits", *content().values(), (), "a test", True),
    )


def checksums():
    return {key: datasets.array_checksum(array) for key, array in content().items()}


def content():
    images = np.random.default_rng(SEED).integers(0, 256, (2, 20, 28, 28, 1)).astype(np.uint8)
    return arrays(x_train=images[0], x_test=images[1])


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Publish a small MNIST at a server of this machine."""
    archive = save(tmp_path / "archive.npz", **content()).read_bytes()
    with Server(archive) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        publish(monkeypatch, server.url, archive)
        yield server
        server.over.set()
        server.shutdown()


def cached():
    """Return the files of the cache by name, without the lock."""
    folder = Path(os.environ["KERAS_HOME"]) / "datasets"
    return {path.name: path for path in folder.glob("*") if path.suffix != ".lock"}


# --- faults ---------------------------------------------------------------------------------------


def breaks_off(handler):
    handler.answer(handler.server.part(), length=len(handler.server.content), start=0)


def breaks_off_between_chunks(handler):
    handler.protocol_version = "HTTP/1.1"
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"400\r\n" + handler.server.content[:1024] + b"\r\n400\r\nxyz")


def breaks_off_without_a_length(handler):
    handler.answer(handler.server.part(), length="", start=0)


def resets_the_connection(handler):
    breaks_off(handler)
    handler.wfile.flush()
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def closes_at_once(handler):
    handler.connection.shutdown(socket.SHUT_RDWR)


def never_answers(handler):
    """Stay silent; the test waits for it half a second."""
    handler.server.over.wait()


def falls_silent(handler):
    breaks_off(handler)
    handler.wfile.flush()
    handler.server.over.wait()


def never_ends(handler):
    handler.answer(b"", length="")
    while not handler.server.over.is_set():
        handler.wfile.write(bytes(1 << 16))


def sends_another_file(handler):
    body = bytearray(handler.server.content)
    body[handler.server.generator.integers(len(body))] ^= 1
    handler.answer(body)


def sends_a_login_page(handler):
    handler.answer(PAGE, start=0)


def sends_a_login_page_in_parts(handler):
    handler.answer(PAGE, start=0, status=206)


def sends_a_login_page_that_breaks_off(handler):
    handler.answer(PAGE, start=0, length=2 * len(PAGE))


def sends_nothing(handler):
    handler.answer(b"", start=0)


def promises_too_much(handler):
    handler.answer(handler.server.content, length=10**12, start=0)


def promises_too_little(handler):
    handler.answer(handler.server.content, length=len(handler.server.part()) - 1, start=0)


def says_no(handler):
    status = handler.server.generator.choice([401, 403, 404, 407, 416, 429, 500, 502, 503, 511])
    handler.answer(PAGE, status=int(status), start=0)


def leads_in_a_circle(handler):
    handler.send_response(302)
    handler.send_header("Location", handler.server.url)
    handler.end_headers()


def leads_to_a_file_of_this_machine(handler):
    handler.send_response(302)
    handler.send_header("Location", Path(__file__).as_uri())
    handler.end_headers()


def speaks_another_protocol(handler):
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.6\r\n")


def sends_headers_without_end(handler):
    handler.send_response(200)
    handler.send_header("X-Long", "x" * 100_000)
    handler.end_headers()


FAULTS = [
    breaks_off, breaks_off_between_chunks, breaks_off_without_a_length, resets_the_connection,
    closes_at_once, never_answers, falls_silent, never_ends, sends_another_file,
    sends_a_login_page, sends_a_login_page_in_parts, sends_a_login_page_that_breaks_off,
    sends_nothing, promises_too_much, promises_too_little, says_no, leads_in_a_circle,
    leads_to_a_file_of_this_machine, speaks_another_protocol, sends_headers_without_end,
]  # fmt: skip


def load():
    """Load MNIST; return ``"official"``, ``"stand-in"`` or a complaint."""
    try:
        data = datasets.load_mnist()
    except (ValueError, OSError) as error:
        return str(error)
    return "stand-in" if data.stand_in else "official"


def test_downloads_that_go_wrong(server, trials, row, tmp_path, monkeypatch, capsys):
    lost, tried = [], 0
    for fault in FAULTS:
        for number in range(trials(full=10, few=1)):
            tried += 1
            monkeypatch.setenv("KERAS_HOME", str(tmp_path / f"{fault.__name__}_{number}"))
            server.fault = fault
            with monkeypatch.context() as patch:
                if fault in (never_answers, falls_silent):
                    patch.setattr(datasets, "CONNECT_SECONDS", 0.5)
                said = load()
            told = "STAND-IN DATA, NOT MNIST (no download: " in capsys.readouterr().out
            kept = sum(path.stat().st_size for path in cached().values())
            server.fault = works
            # What came may turn out to be worthless; it is thrown away then.
            after = [load(), load()]
            clear = (
                told if said == "stand-in" else re.search("^official$|is not the official", said)
            )
            if not clear:
                lost.append(f"{fault.__name__}: {said}")
            elif kept > len(server.content) + (1 << 17):
                lost.append(f"{fault.__name__}: {kept} bytes were kept")
            elif after[-1] != "official" or list(cached()) != ["mnist.npz"]:
                lost.append(f"{fault.__name__}: afterwards {after}, cache {list(cached())}")
    assert server.requests
    row("data").conclude("downloads", "downloads that go wrong", tried=tried, lost=lost)


# --- what goes right ------------------------------------------------------------------------------


def test_a_download_is_kept_and_read_from_the_cache_next_time(server):
    first = datasets.load_mnist()
    again = datasets.load_mnist()
    assert "official download (official arrays" in first.source
    assert "Keras cache (official arrays" in again.source
    assert server.requests == [None]
    assert list(cached()) == ["mnist.npz"]


def test_a_broken_download_goes_on_where_it_stopped(server):
    server.fault = breaks_off
    assert load() == "stand-in"
    have = cached()["mnist.npz.download.part"].stat().st_size
    server.fault = works
    assert load() == "official"
    assert server.requests == [None, f"bytes={have}-"]


def test_a_server_that_knows_no_ranges_sends_all_again(server):
    server.fault = breaks_off
    assert load() == "stand-in"
    server.fault = lambda handler: handler.answer(server.content, start=0)
    assert load() == "official"


@pytest.mark.parametrize("name", ["mnist.npz.download.part", "mnist.npz.download"])
def test_what_came_before_a_kill_is_not_fetched_again(server, name, tmp_path):
    whole = Path(os.environ["KERAS_HOME"]) / "datasets" / name
    whole.parent.mkdir(parents=True)
    whole.write_bytes(server.content)
    assert load() == "official"
    assert server.requests == []


def test_where_nothing_listens_there_is_a_stand_in(server):
    dataset = datasets.DATASETS["mnist"]
    secure = dataset._replace(url=server.url.replace("http:", "https:"))
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = dataset._replace(url=f"http://127.0.0.1:{unused.getsockname()[1]}/mnist.npz")
        for elsewhere in (secure, closed):
            with pytest.MonkeyPatch.context() as patch:
                patch.setitem(datasets.DATASETS, "mnist", elsewhere)
                assert load() == "stand-in"


def test_a_cache_that_cannot_be_written_is_named(server, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "archive.npz"))
    with pytest.raises(OSError, match=r"archive.npz.* cannot be written .*set KERAS_HOME"):
        datasets.load_mnist()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("name", ["mnist.npz.download.part", ".mnist.new.npz"])
def test_a_full_disk_is_named(server, name):
    target = Path(os.environ["KERAS_HOME"]) / "datasets" / name
    target.parent.mkdir(parents=True)
    target.symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"mnist.npz cannot be written \(No space left"):
        datasets.load_mnist()
    target.unlink(missing_ok=True)
    assert load() == "official"


def load_elsewhere(url, archive, home):
    """Load in a process of its own, and tell where the images came from."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_HOME", home)
        patch.delenv("COURSE_DATA_DIR", raising=False)
        publish(patch, url, archive)
        return datasets.load_mnist().source


def test_two_notebooks_that_fetch_at_once_fetch_once(server, tmp_path):
    jobs = [(server.url, server.content, str(tmp_path / "together"))] * 2
    server.fault = lambda handler: (server.over.wait(1), works(handler))
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        sources = pool.starmap_async(load_elsewhere, jobs, chunksize=1).get(timeout=300)
    assert all("official arrays, checksums match" in source for source in sources)
    assert server.requests == [None]
