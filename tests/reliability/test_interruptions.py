"""Kill what takes long at random moments, fill the disk, lock the folders: nothing is lost.

The work runs in processes of their own, each the leader of a process group that is killed with
SIGKILL; then the same work is started again until it is done.
"""

import contextlib
import errno
import functools
import hashlib
import http.server
import io
import itertools
import json
import multiprocessing
import os
import re
import signal
import sys
import tarfile
import tempfile
import textwrap
import threading
import time
from pathlib import Path

import keras
import nbformat
import numpy as np
import psutil
import pytest

from course_utils import datasets, training
from course_utils.augmentation import Batches, flip, pad_and_crop, scale
from tools import pairing, record, run_notebooks, site

resource = pytest.importorskip("resource", reason="Windows has no SIGKILL and no such limits")

ROOT = Path(__file__).resolve().parents[2]
HEADER = (ROOT / "notebooks" / "03_dropout.py").read_text(encoding="utf-8").split("# %%")[0]
EPOCHS = 6
NOBODY = 65_534  # the user that owns nothing


# --- Work that can be killed ----------------------------------------------------------------------


class Wander(keras.callbacks.Callback):
    """Pull the last biases to their own past: a lost state would show in every later epoch."""

    def __init__(self):
        super().__init__()
        self.past = np.zeros(2, np.float32)
        self.pulls = []

    def on_epoch_end(self, epoch, logs=None):
        weights, biases = self.model.layers[-1].get_weights()
        self.past = np.float32(0.5) * (self.past + biases)
        self.pulls.append(float(self.past[0]))
        self.model.layers[-1].set_weights([weights, biases + np.float32(np.mean(self.pulls))])


class Log(keras.callbacks.Callback):
    """Write a line for each epoch that starts."""

    def __init__(self, path, name):
        super().__init__()
        self.path, self._name = path, name  # a path is no plain value, so it stays out of the key

    def on_epoch_begin(self, epoch, logs=None):
        say(self.path, f"{self._name} {epoch}")


def say(log, what):
    """Add a line to a log, with the time."""
    with open(log, "a", encoding="utf-8") as file:
        file.write(f"{time.time()} {what}\n")


def said(log):
    """Return what was said, without the times."""
    lines = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
    return [line.partition(" ")[2] for line in lines]


def build(seed=0):
    training.seed_everything(seed)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Flatten(),
            keras.layers.Dense(400, activation="relu"),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def fit(model, folder, *, log, seed=0, name="killed", callbacks=()):
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (640, 8, 8, 1)).astype(np.uint8)
    labels = (images.mean(axis=(1, 2, 3)) > 127).astype(np.int64)
    augmented = {"transforms": [flip(), pad_and_crop(1)], "shuffle": True, "seed": seed}
    plateau = keras.callbacks.ReduceLROnPlateau(monitor="val_loss", patience=0, factor=0.7)
    return training.fit(
        model,
        Batches(images[:512], labels[:512], batch_size=16, normalize=scale, **augmented),
        name=name,
        epochs=EPOCHS,
        validation=Batches(images[512:], labels[512:], batch_size=64, normalize=scale),
        callbacks=[Wander(), plateau, Log(log, name), *callbacks],
        seed=seed,
        folder=folder,
        progress=None,
    )


def train(folder):
    """Train the small network; leave its history and weights."""
    model = build()
    run = fit(model, folder / "runs", log=folder / "log.txt")
    result = [run.history, [weights.tobytes().hex() for weights in model.get_weights()]]
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")


@contextlib.contextmanager
def small_course(folder):
    """Make the tools see the notebooks in a folder as the course."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairing, "NOTEBOOKS", folder / "notebooks")
        patch.setattr(run_notebooks, "BUILD", folder / "build")
        patch.setattr(record, "RESULTS", folder / "results")
        patch.setattr(record, "check_data", lambda: None)  # these notebooks need none
        yield


def write_notebook(folder, name, *cells):
    (folder / "notebooks").mkdir(exist_ok=True)
    code = [f"# %%\n{textwrap.dedent(cell).strip()}" for cell in cells]
    text = "\n\n".join([f"{HEADER}# %% [markdown]\n# # A title", *code])
    (folder / "notebooks" / name).write_text(f"{text}\n", encoding="utf-8")


def run_course(folder, *, with_book=True, largest_file=None):
    """Do what `make run` does."""
    if largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    with small_course(folder), pytest.MonkeyPatch.context() as patch:
        if not with_book:
            patch.setattr(site, "publish", lambda build: 0)
        sys.exit(run_notebooks.main(["--profile", "smoke"]))


def record_course(folder):
    """Do what `make record` does."""
    with small_course(folder):
        sys.exit(record.main(["--profile", "quick"]))


def convert(folder, *, dataset, checksums):
    """Download and convert a data set."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(datasets.DATASETS, "cifar10", dataset)
        patch.setitem(datasets.CHECKSUMS, "cifar10", checksums)
        patch.delenv("COURSE_OFFLINE")
        say(folder / "log.txt", "start")
        assert not datasets.load_cifar10().stand_in


def begin(work, folder):
    """Begin some work as the leader of a process group, with an environment of its own."""
    os.setsid()
    output = os.open(folder / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(output, stream)
    for name in ("COURSE_DATA_DIR", "COURSE_PROFILE"):
        os.environ.pop(name, None)
    os.environ |= {
        "COURSE_OFFLINE": "1",
        "COURSE_RUNS_DIR": str(folder / "runs"),
        "KERAS_HOME": str(folder / "keras"),
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_RUNTIME_DIR": str(folder / "jupyter"),
        "TMPDIR": str(folder),
    }
    work(folder)


# --- Starting and killing -------------------------------------------------------------------------


class Starter:
    """Starts work in processes, and kills them."""

    def __init__(self, context):
        self.context = context

    def __call__(self, work, folder, moment=None):
        """Start work; kill it at a moment, if there is one; return how it ended."""
        process = self.context.Process(target=begin, args=(work, folder))
        process.start()
        below = []
        if moment and moment.came(process):
            below = psutil.Process(process.pid).children(recursive=True)
            os.killpg(process.pid, signal.SIGKILL)
        process.join()
        # Kernels are no part of the group: they have to end by themselves.
        _, alive = psutil.wait_procs(below, timeout=60)
        for each in alive:
            each.kill()
        assert not alive, f"{alive} went on without a parent"
        return process.exitcode


class Moment:
    """Some seconds after a new line in a log, or when a file is being written after that."""

    def __init__(self, log, seconds, being_written=None):
        self.log, self.seconds, self.being_written = log, seconds, being_written
        self.lines = len(said(log))

    def came(self, process):
        """Wait for it; tell whether the process still runs."""
        self._wait(process, lambda: len(said(self.log)) > self.lines)
        since = time.monotonic()
        self._wait(process, lambda: time.monotonic() - since > self.seconds)
        if self.being_written:
            self._wait(process, self.being_written)
        return process.exitcode is None

    @staticmethod
    def _wait(process, condition):
        while process.exitcode is None and not condition():
            time.sleep(0.0005)


def killings(start, work, base, count, *, prepare=lambda folder: None, being_written=None):
    """Do work undisturbed, then kill it at random moments; yield both folders, ``count`` times.

    Every second kill waits until ``being_written(folder)`` shows that something is being saved.
    """
    generator = np.random.default_rng(5)

    def fresh(name):
        folder = base / name
        folder.mkdir()
        prepare(folder)
        return folder

    whole = fresh("whole")
    assert start(work, whole) == 0, printed(whole)
    first_line = (whole / "log.txt").read_text(encoding="utf-8").partition(" ")[0]
    seconds = time.time() - float(first_line)
    killed = 0
    for number in itertools.count():
        folder = fresh(str(number))
        saving = being_written and killed % 2 and functools.partial(being_written, folder)
        status = start(
            work, folder, Moment(folder / "log.txt", generator.uniform(0, seconds), saving)
        )
        assert status in (0, -signal.SIGKILL), printed(folder)
        if status:  # else it was done before the moment came
            yield whole, folder
            killed += 1
        if killed == count:
            return


def printed(folder):
    return (folder / "output.txt").read_text(encoding="utf-8")


def epochs_kept(runs, name):
    """Return how many epochs of a training are saved; a half-written file would raise."""
    states = list(runs.glob(f"{name}-*/state.npz"))
    if not states:
        return 0
    with np.load(states[0], allow_pickle=False) as saved:
        assert all(saved[key] is not None for key in saved.files)
        return len(json.loads(saved["record"].tobytes())["history"]["loss"])


def remaining(runs, name):
    """Return what the log has to say when a training goes on."""
    return [f"{name} {epoch}" for epoch in range(epochs_kept(runs, name), EPOCHS)]


@pytest.fixture
def start():
    """Start work in copies of a process that has imported the libraries and done nothing else."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["course_utils.training", "tools.record"])
    return Starter(context)


# --- Kills ----------------------------------------------------------------------------------------


def test_a_killed_training_ends_like_an_undisturbed_one(start, trials, row, tmp_path):
    lost, retrained, leftovers = [], [], 0
    tried = trials(full=20, few=2)

    def saving(folder):
        return list(folder.glob("runs/*/.state.*"))

    for whole, folder in killings(start, train, tmp_path, tried, being_written=saving):
        log, runs = folder / "log.txt", folder / "runs"
        before, expected = said(log), remaining(runs, "killed")
        for leftover in saving(folder):
            os.utime(leftover, (0, 0))  # as if it had been killed long ago
            leftovers += 1
        assert start(train, folder) == 0, printed(folder)
        trained = said(log)[len(before) :]
        retrained.append(len(before) + len(trained) - EPOCHS)
        same = (folder / "result.json").read_bytes() == (whole / "result.json").read_bytes()
        if not same or trained != expected or saving(folder):
            lost.append(
                f"Killed in epoch {len(before)}: trained {trained} in place of {expected}, history "
                f"and weights {'equal' if same else 'differ'}, left {saving(folder)}."
            )
    before = said(log)
    assert start(train, folder) == 0 and said(log) == before  # a finished run is read back
    row("interruptions").conclude(
        "kill_training",
        f"a training of {EPOCHS} epochs killed with SIGKILL at a random moment, every second time "
        "while it saves: history and weights, bit for bit",
        tried=tried,
        lost=lost,
        epochs_begun_twice_at_most=max(retrained),
        kills_that_left_half_a_file=leftovers,
    )


def outputs(notebook):
    """Return what the cells of an executed notebook printed."""
    cells = nbformat.read(notebook, as_version=4).cells
    # What is printed comes in pieces, as it happens to be sent.
    return ["".join(output.text for output in cell.get("outputs", [])) for cell in cells]


def test_a_killed_course_runs_what_was_not_finished(start, trials, row, tmp_path):
    lost, tried = [], trials(full=20, few=2)
    names = ["01_first", "02_second"]

    def prepare(folder):
        for name in names:
            begin = f"""
                import time
                with open("../../log.txt", "a") as log:
                    log.write(f"{{time.time()}} {name}\\n")
            """
            work = f"for place in range(3):\n    time.sleep(0.1)\n    print('{name}', place)"
            write_notebook(folder, f"{name}.py", begin, work, work)

    def finished(build):
        """Return the notebooks that count as finished, all of them whole."""
        for record_ in build.glob("[0-9]*.json"):
            assert json.loads(record_.read_text(encoding="utf-8"))["key"]
        return {
            path.stem: outputs(path)
            for path in build.glob("[0-9]*.ipynb")
            if path.with_suffix(".json").is_file()
        }

    work = functools.partial(run_course, with_book=trials(full=True, few=False))
    being_written = trials(
        full=lambda folder: (folder / "build/smoke/.site.new").exists(), few=None
    )
    for whole, folder in killings(
        start, work, tmp_path, tried, prepare=prepare, being_written=being_written
    ):
        log, build = folder / "log.txt", folder / "build" / "smoke"
        before, done = said(log), finished(build)
        broken = site.problems(build / "site") if (build / "site").exists() else []
        assert start(work, folder) == 0, printed(folder)
        run = said(log)[len(before) :]
        expected = [name for name in names if name not in done]
        same = finished(build) == finished(whole / "build" / "smoke")
        if run != expected or not same or broken:
            lost.append(
                f"Killed with {list(done)} finished: ran {run}, outputs "
                f"{'equal' if same else 'differ'}, the book was broken: {broken}."
            )
    row("interruptions").conclude(
        "kill_run",
        "`make run` killed with SIGKILL at a random moment, every second time while it puts the "
        "book in place",
        tried=tried,
        lost=lost,
    )


def figures(path):
    """Return what a record says of its trainings, apart from the time they took."""
    content = json.loads(path.read_text(encoding="utf-8"))
    runs = [
        [entry[key] for key in ("name", "seed", "history", "final")] for entry in content["runs"]
    ]
    return [runs, content["notes"], content["experiments"]]


def test_a_killed_recording_goes_on(start, trials, row, tmp_path):
    lost, tried = [], trials(full=20, few=0)
    if not tried:
        pytest.skip("three kernels for each kill: `make reliability` kills recordings")
    names = ["02_small_0", "02_small_1"]

    def prepare(folder):
        head = f"""
            import sys
            from pathlib import Path
            sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(ROOT)!r}]
            from course_utils import records, training
            from test_interruptions import build, fit
        """
        trainings = [
            f"""
            log = Path("../../log.txt")
            run = fit(build({seed}), training.runs_folder(), log=log, seed={seed}, name="{name}")
            records.note("02_small", seed={seed}, loss=run.history["loss"][-1])
            """
            for seed, name in enumerate(names)
        ]
        write_notebook(folder, "02_small.py", head, *trainings)

    for whole, folder in killings(start, record_course, tmp_path, tried, prepare=prepare):
        log, path = folder / "log.txt", Path("results", "quick", "02_small.json")
        before = said(log)
        expected = [line for name in names for line in remaining(folder / "runs", name)]
        early = not (folder / path).exists() or figures(folder / path) == figures(whole / path)
        assert start(record_course, folder) == 0, printed(folder)
        trained = said(log)[len(before) :]
        same = figures(folder / path) == figures(whole / path)
        if trained != expected or not same or not early:
            lost.append(
                f"Killed after {before}: trained {trained} in place of {expected}, figures "
                f"{'equal' if same else 'differ'}, at first {'whole' if early else 'broken'}."
            )
    row("interruptions").conclude(
        "kill_record",
        "`make record` of two trainings killed with SIGKILL at a random moment: the figures",
        tried=tried,
        lost=lost,
    )


@contextlib.contextmanager
def slow_server(content):
    """Serve bytes in small blocks, with range requests; give the address and the ranges asked."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(int((self.headers.get("Range") or "bytes=0-")[6:-1]))
            rest = content[asked[-1] :]
            self.send_response(206 if asked[-1] else 200)
            self.send_header("Content-Length", str(len(rest)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # of a client that was killed
                for place in range(0, len(rest), 1 << 16):
                    self.wfile.write(rest[place : place + (1 << 16)])
                    time.sleep(0.005)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/archive.tar.gz", asked
    finally:
        server.shutdown()
        server.server_close()


def archive_of(rows):
    """Pack rows of a label and 3,072 pixels into six batches, as CIFAR-10 comes."""
    file = io.BytesIO()
    names = [f"data_batch_{number}.bin" for number in range(1, 6)] + ["test_batch.bin"]
    with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as tar:
        for name, batch in zip(names, rows, strict=True):
            entry = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            entry.size = batch.size
            tar.addfile(entry, io.BytesIO(batch.tobytes()))
    return file.getvalue()


def test_a_killed_conversion_goes_on(start, trials, row, tmp_path):
    lost, tried = [], trials(full=20, few=2)
    rows = np.random.default_rng(0).integers(0, 256, (6, 400, 3073)).astype(np.uint8)
    rows[:, :, 0] %= 10
    archive = archive_of(rows)
    (tmp_path / "archive").write_bytes(archive)
    arrays = datasets.DATASETS["cifar10"].convert(tmp_path / "archive")
    checksums = {key: datasets.array_checksum(array) for key, array in arrays.items()}

    def kept(folder):
        """Return what is in the cache by name, without the file of the lock."""
        cache = folder / "keras" / "datasets"
        return {path.name: path for path in cache.iterdir() if path.suffix != ".lock"}

    def converting(folder):
        return [name for name in kept(folder) if name.endswith(".npz")]

    with slow_server(archive) as (url, asked):
        dataset = datasets.DATASETS["cifar10"]._replace(
            url=url,
            train_size=2_000,
            test_size=400,
            archive_bytes=len(archive),
            archive_checksum=hashlib.sha256(archive).hexdigest(),
        )
        work = functools.partial(convert, dataset=dataset, checksums=checksums)
        for _, folder in killings(start, work, tmp_path, tried, being_written=converting):
            files_then = kept(folder)
            if "cifar10.npz" in files_then or "archive.tar.gz.download" in files_then:
                expected = []
            else:
                part = files_then.get("archive.tar.gz.download.part")
                expected = [part.stat().st_size if part else 0]
            asked.clear()
            assert start(work, folder) == 0, printed(folder)
            with np.load(kept(folder)["cifar10.npz"], allow_pickle=False) as content:
                same = all(np.array_equal(content[key], array) for key, array in arrays.items())
            if asked != expected or not same or list(kept(folder)) != ["cifar10.npz"]:
                lost.append(
                    f"Killed with {list(files_then)}: asked for {asked} in place of {expected}, "
                    f"arrays {'equal' if same else 'differ'}, left {list(kept(folder))}."
                )
    row("interruptions").conclude(
        "kill_conversion",
        "a download with its conversion killed with SIGKILL at a random moment, every second time "
        "while it converts",
        tried=tried,
        lost=lost,
    )


# --- A full disk, a locked folder -----------------------------------------------------------------


class AtEpochEnd(keras.callbacks.Callback):
    """Do something when an epoch ends, before it is saved."""

    def __init__(self, work=lambda epoch: None):
        super().__init__()
        self._work = work

    def on_epoch_end(self, epoch, logs=None):
        self._work(epoch)


@contextlib.contextmanager
def full_disk(free=None):
    """Let files grow to ``free`` bytes and no further; without it, only at the end undo that."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        if free is not None:
            fill_disk(free)
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def fill_disk(free):
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (free, most))


@contextlib.contextmanager
def locked(folder):
    """Take the right to write into a folder and those below; be no superuser meanwhile."""
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    superuser = os.geteuid() == 0
    for each in folders:
        each.chmod(0o555)
    if superuser:
        os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        if superuser:
            os.setresuid(0, 0, 0)
        for each in folders:
            each.chmod(0o755)


def content(folder):
    """Return all files of a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def savers(folder, size):
    """Return the ways to save something of some size, by the path of the file."""
    layers = [keras.Input((size,)), keras.layers.Dense(4)]
    record_ = {"notebook": "02_small", "runs": list(range(size))}
    return {
        folder / "model.keras": lambda path: training.save_model(keras.Sequential(layers), path),
        folder / "history.json": lambda path: training.save_history({"loss": record_}, path),
        folder / "02_small.json": lambda path: record.write(record_, path.parent),
    }


def told(fault, capsys):
    """Return with which words something stops; a command line prints them."""
    try:
        with contextlib.suppress(SystemExit):
            fault()
    except OSError as error:
        return str(error)
    return ("".join(capsys.readouterr()).splitlines() or [""])[-1]


def complaint(text, *, about, reason):
    """Return what is wrong with a message that should be one sentence about a path."""
    right = re.fullmatch(r"[^\n]+\.", text) and about in text and reason in text
    return "" if right else f"it said {text!r}"


def test_a_full_disk_is_told_and_earlier_results_stay_whole(start, trials, row, tmp_path):
    lost, tried, generator = [], trials(full=20, few=2), np.random.default_rng(7)
    faults = 0
    for path, save in savers(tmp_path / "files", 100).items():
        path.parent.mkdir(exist_ok=True)
        save(path)
        before = content(path.parent)
        larger = savers(path.parent, 3000)[path]
        for _ in range(tried):
            faults += 1
            free = int(generator.integers(0, 10_000))
            with full_disk(free), pytest.raises(OSError) as failed:
                larger(path)
            wrong = complaint(str(failed.value), about=str(path), reason=os.strerror(errno.EFBIG))
            if wrong or content(path.parent) != before:
                lost.append(f"{path.name}, {free} bytes free: {wrong or 'the old file changed'}.")
    undisturbed = build()
    whole = fit(undisturbed, tmp_path / "whole", log=tmp_path / "log.txt", callbacks=[AtEpochEnd()])
    size = (whole.path / "state.npz").stat().st_size
    for number in range(tried):
        faults += 1
        model, folder = build(), tmp_path / str(number)
        last, free = int(generator.integers(EPOCHS)), int(generator.integers(size))
        fill = AtEpochEnd(lambda epoch, last=last, free=free: epoch == last and fill_disk(free))
        with full_disk(), pytest.raises(OSError) as failed:
            fit(model, folder, log=tmp_path / "log.txt", callbacks=[fill])
        wrong = complaint(str(failed.value), about="state.npz", reason=os.strerror(errno.EFBIG))
        kept = epochs_kept(folder, "killed")
        again = fit(model, folder, log=tmp_path / "log.txt", callbacks=[AtEpochEnd()])
        same = again.history == whole.history and same_weights(model, undisturbed)
        if wrong or kept != last or not same or again.path.name != whole.path.name:
            lost.append(
                f"Epoch {last}, {free} bytes free: {wrong}; {kept} epochs kept, then the same call "
                f"{'ends the same' if same else 'ends otherwise'}."
            )
    course = tmp_path / "course"
    course.mkdir()
    write_notebook(course, "02_small.py", "print('0' * 20_000)")
    work = functools.partial(run_course, with_book=False)
    assert start(work, course) == 0, printed(course)
    for number in range(trials(full=20, few=1)):
        faults += 1
        write_notebook(course, "02_small.py", f"print('{number + 1}' * 20_000)")  # run it again
        (course / "output.txt").unlink()  # it counts as a file, too
        before, free = content(course / "build"), int(generator.integers(2_000, 20_000))
        status = start(functools.partial(work, largest_file=free), course)
        said_last = printed(course).splitlines()[-1]
        wrong = complaint(said_last, about="02_small.ipynb", reason=os.strerror(errno.EFBIG))
        if status != 1 or wrong or "Traceback" in printed(course):
            lost.append(f"`make run`, {free} bytes free: it ended with {status}, {wrong}.")
        elif content(course / "build") != before:
            lost.append(f"`make run`, {free} bytes free: the old notebook changed.")
    row("interruptions").conclude(
        "disk_full",
        "a disk that is full after a random number of bytes, while a model, a history, a record, "
        "the state of a training or an executed notebook is saved",
        tried=faults,
        lost=lost,
    )


def same_weights(model, other):
    pairs = zip(model.get_weights(), other.get_weights(), strict=True)
    return all(np.array_equal(one, another) for one, another in pairs)


@pytest.fixture
def open_folder():
    """Give a folder that everybody can enter, unlike ``tmp_path``."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_locked_folder_is_told_and_earlier_results_stay_whole(row, open_folder, capsys):
    def interrupt(epoch):
        if epoch == 2:
            raise KeyboardInterrupt

    log, runs, build_, saved = (
        open_folder / name for name in ("log.txt", "runs", "build", "files")
    )
    model = build()
    with pytest.raises(KeyboardInterrupt):
        fit(model, runs, log=log, callbacks=[AtEpochEnd(interrupt)])
    write_notebook(open_folder, "02_small.py", "print(2)")
    for folder in (build_, saved, open_folder / "results"):
        folder.mkdir()
    faults = {
        runs / "killed": lambda: fit(model, runs, log=log, callbacks=[AtEpochEnd()]),
        runs / "other": lambda: fit(model, runs, log=log, name="other"),
        build_: lambda: run_notebooks.main(["--profile", "smoke"]),
        open_folder / "results": lambda: record.main(["--profile", "quick"]),
    }
    for path, save in savers(saved, 100).items():
        save(path)
        faults[path] = functools.partial(savers(saved, 200)[path], path)
    lost, before = [], content(open_folder)
    with locked(open_folder), small_course(open_folder):
        for path, fault in faults.items():
            wrong = complaint(told(fault, capsys), about=str(path), reason=" cannot be ")
            if wrong:
                lost.append(f"{path.name}: {wrong}.")
    if content(open_folder) != before:
        lost = [*lost, "A file changed."][: len(faults)]
    row("interruptions").conclude(
        "read_only",
        "a folder that cannot be written when a training starts or goes on, a model, a history or "
        "a record is saved, `make run` or `make record` begins",
        tried=len(faults),
        lost=lost,
    )
