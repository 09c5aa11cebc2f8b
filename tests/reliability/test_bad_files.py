"""Files that are broken, perhaps on purpose, in place of data, records and histories.

Each mutation changes one thing of a whole file, with random parameters of a fixed seed. A file
passes if it is refused in one sentence that names it and says what to do, or if what is read equals
what the whole file holds. Files are read in a process of their own, so that one which hangs or
takes all memory is only lost.
"""

import contextlib
import io
import json
import multiprocessing
import os
import pickle
import re
import shutil
import struct
import tarfile
import time
import tracemalloc
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from test_datasets import arrays, save

from course_utils import datasets, exercises, records

MIB = 1 << 20
MOST_MEMORY = 192 * MIB  # the complete MNIST has 55 MB, and its labels are kept as int64
MOST_SECONDS = 60
ADDRESS_SPACE = 6 << 30  # what gets through breaks the reading process, not the machine
SEED = 2026


# --- reading, in a process of its own -------------------------------------------------------------


def limit_memory():
    with contextlib.suppress(ImportError):  # not on Windows
        import resource

        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, hard))
    tracemalloc.start()


def outcome(read, path):
    """Return what reading a file gave (``None`` if refused), the complaint, memory and seconds."""
    tracemalloc.reset_peak()
    before, started = tracemalloc.get_traced_memory()[0], time.perf_counter()
    content, complaint = None, ""
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore"):
            content = read(path)
    except (ValueError, OSError) as error:
        complaint = str(error)
    except BaseException as error:  # noqa: BLE001 - whatever else comes is the finding
        complaint = f"RAW {type(error).__name__}: {error}"
    memory = tracemalloc.get_traced_memory()[1] - before
    return content, complaint, memory, time.perf_counter() - started


@pytest.fixture
def elsewhere():
    """Read files in a process of its own: ``elsewhere(read, path)`` gives what `outcome` does."""
    with multiprocessing.get_context("spawn").Pool(1, limit_memory) as pool:

        def tried(read, path):
            try:
                return pool.apply_async(outcome, (read, path)).get(MOST_SECONDS)
            except multiprocessing.TimeoutError:
                return None, "RAW it hung, or the process that read it died", 0, MOST_SECONDS

        yield tried


@pytest.fixture
def here():
    """Read files in this process, which has Keras loaded already."""
    tracemalloc.start()
    yield outcome
    tracemalloc.stop()


def tree(folder):
    return sorted(str(path) for path in folder.rglob("*"))


def judge(tried, read, mutations, count, *, whole, remedy):
    """Read ``count`` files of each mutation; return what was lost, and each file's outcome.

    ``whole`` is the path of a good file, which the functions of ``mutations`` change.
    """
    folder = whole.parent.parent / "mutated"
    folder.mkdir(exist_ok=True)
    marker = folder / "marker"
    good = whole.read_bytes()
    expected, complaint, _, _ = tried(read, whole)
    assert not complaint
    lost, outcomes = [], []
    for mutate in mutations:
        generator = np.random.default_rng([SEED, *mutate.__name__.encode()])
        for number in range(count):
            path = folder / f"{mutate.__name__}_{number}" / whole.name
            path.parent.mkdir()
            path.write_bytes(good)
            mutate(path, generator, marker)
            before = tree(folder)
            content, complaint, memory, seconds = tried(read, path)
            outcomes.append((content is None, memory, seconds))
            if marker.exists():
                fault = "code in the file ran"
            elif tree(folder) != before:
                fault = "reading wrote files"
            elif memory > MOST_MEMORY:
                fault = f"reading took {memory / MIB:.0f} MiB"
            elif content is None:
                fault = unclear(complaint, path, remedy)
            else:
                fault = "" if content == expected else "other content was read without a word"
            if fault:
                lost.append(f"{whole.name}, {mutate.__name__} {number}: {fault}")
            shutil.rmtree(path.parent)
    return lost, outcomes


def unclear(complaint, path, remedy):
    """Say what is unclear about a complaint, if anything."""
    if complaint.startswith("RAW"):
        return complaint[:200]
    if str(path.parent) not in complaint or path.name not in complaint:
        return f"the complaint does not name the file: {complaint[:200]!r}"
    if not re.search(remedy, complaint):
        return f"the complaint does not say what to do: {complaint[:200]!r}"
    if "\n" in complaint or len(complaint) > len(str(path)) + 500 or "allow_pickle" in complaint:
        return f"the complaint is not one clear sentence: {complaint!r}"
    return ""


def figures(outcomes):
    refused, memory, seconds = zip(*outcomes, strict=True)
    return {
        "refused": sum(refused),
        "read as if untouched": len(refused) - sum(refused),
        "most memory for one file in MiB": round(max(memory) / MIB),
        "longest for one file in seconds": round(max(seconds), 2),
    }


class Code:
    """Runs when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def test_the_malicious_pickle_would_run_if_it_were_read(tmp_path):
    stored = pickle.dumps(Code(tmp_path / "marker"))
    pickle.loads(stored)  # noqa: S301 - it only creates the marker
    assert (tmp_path / "marker").exists()


# --- mutations of any file ------------------------------------------------------------------------


def cut_off(path, generator, marker):
    content = path.read_bytes()
    path.write_bytes(content[: generator.integers(len(content))])


def some_bits_flipped(path, generator, marker):
    content = bytearray(path.read_bytes())
    for place in generator.integers(len(content), size=generator.integers(1, 33)):
        content[place] ^= 1 << generator.integers(8)
    path.write_bytes(content)


def a_part_overwritten(path, generator, marker):
    content = bytearray(path.read_bytes())
    start, length = generator.integers(len(content)), generator.integers(1, 500)
    noise = generator.bytes(length) if generator.random() < 0.5 else bytes(length)
    content[start : start + length] = noise
    path.write_bytes(content)


def a_part_missing_or_twice(path, generator, marker):
    content = path.read_bytes()
    start, end = np.sort(generator.integers(len(content), size=2))
    copies = generator.choice([0, 2])
    path.write_bytes(content[:start] + content[start:end] * copies + content[end:])


def something_else(path, generator, marker):
    """Write what is no such file at all; at times behind the first bytes of one."""
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("../../x_train.npy"))
    kinds = [
        b"",
        generator.bytes(generator.integers(1, 5000)),
        b"<!DOCTYPE html><title>Log in</title>",
        body.getvalue(),
        pickle.dumps(Code(marker)),
        b"\x93NUMPY\x01\x00" + generator.bytes(generator.integers(300)),
        b"PK\x05\x06" + bytes(18),
    ]
    start = [b"", b"PK\x03\x04", b"\x93NUMPY", b"\xff\xfe"][generator.choice(4)]
    path.write_bytes(start + kinds[generator.choice(len(kinds))])


def no_file(path, generator, marker):
    """Put something in its place that cannot be read as a file, or has no end."""
    path.unlink()
    [
        path.mkdir,
        lambda: path.symlink_to(path),
        lambda: path.symlink_to(path.parent),
        lambda: path.symlink_to("/dev/zero"),
        lambda: os.mkfifo(path),
    ][generator.choice(5)]()


BYTES = [cut_off, some_bits_flipped, a_part_overwritten, a_part_missing_or_twice, something_else]
if os.name == "posix":
    BYTES.append(no_file)


# --- mutations of an npz file ---------------------------------------------------------------------


def npy(array, **options):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, **options)
    return file.getvalue()


def members_of(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def pack(path, members, compression=zipfile.ZIP_DEFLATED):
    with (
        warnings.catch_warnings(action="ignore"),
        zipfile.ZipFile(path, "w", compression) as zipped,
    ):
        for name, content in members.items() if isinstance(members, dict) else members:
            zipped.writestr(name, content)


def one_of(generator, members):
    return list(members)[generator.choice(len(members))]


def other_names(path, generator, marker):
    """Rename an array, at times to a path that leads out of the folder, or add one."""
    members = list(members_of(path).items())
    name, content = members[generator.choice(4)]
    out = os.path.relpath(marker, path.parent)
    names = [
        "x", "x_train", "X_train.npy", "x_train.npy ", "x_train.npy/", "./x_train.npy",
        "a/b.npy", "../../x.npy", f"../{name}", out, str(marker), f"C:\\{name}", f"..\\..\\{name}",
        "é.npy", "x_train.npy\nrm", "a" * 60_000, name,
    ]  # fmt: skip
    other = names[generator.choice(len(names))]
    if generator.random() < 0.5:
        members.remove((name, content))
    pack(path, [*members, (other, content)])


def other_types(path, generator, marker):
    members = members_of(path)
    name = one_of(generator, members)
    array = np.load(io.BytesIO(members[name]), allow_pickle=False)
    kinds = ["?", "f2", "f4", "f8", "c16", "U3", "S2", "V1", "M8[s]", "m8[s]"]
    kinds += ["i1", "u2", "i8", ">u4"] if name.startswith("x") else []
    kind = kinds[generator.choice(len(kinds))]
    array = array.astype("i8").astype(kind) if kind != "V1" else array.view("V1")
    if array.dtype.kind == "f" and generator.random() < 0.7:
        array[...] = generator.choice([np.nan, np.inf, -np.inf])
    members[name] = npy(array)
    pack(path, members)


def other_shapes(path, generator, marker):
    members = members_of(path)
    name = one_of(generator, members)
    array = np.load(io.BytesIO(members[name]), allow_pickle=False)
    shape = tuple(generator.integers(0, 40, size=generator.integers(6)))
    if shape[:1] == array.shape[:1]:
        shape = (21, *shape[1:])
    members[name] = npy(np.zeros(shape, array.dtype))
    pack(path, members)


def labels_out_of_range(path, generator, marker):
    members = members_of(path)
    name = generator.choice(["y_train.npy", "y_test.npy"])
    kind = np.dtype(generator.choice(["i1", "i2", "i8", "u1", "u8", ">i4"]))
    labels = (np.arange(20) % 10).astype(kind)
    wrong = [10, np.iinfo(kind).max] + ([-1, np.iinfo(kind).min] if kind.kind == "i" else [])
    labels[generator.integers(20)] = wrong[generator.choice(len(wrong))]
    members[name] = npy(labels)
    pack(path, members)


def objects_with_code(path, generator, marker):
    """Hide a pickle that would run code where an array belongs."""
    members = members_of(path)
    name = one_of(generator, members)
    stored = np.array([Code(marker)] * 20, dtype=object)
    ways = [
        npy(stored),
        pickle.dumps(Code(marker)),
        npy(np.zeros(3, np.uint8))[:8] + pickle.dumps(stored),
        npy(stored.astype([("a", object)])),
        npy(stored).replace(b"'|O'", b"'|u1'"),
    ]
    if generator.random() < 0.2:
        path.write_bytes(npy(stored))
        return
    members[name] = ways[generator.choice(len(ways))]
    pack(path, members)


def other_headers(path, generator, marker):
    """Replace an array's header, most often by one that promises a huge array."""
    members = members_of(path)
    name = one_of(generator, members)
    size = int(generator.choice([0, 1, -1, 28, 60_000, 60_001, 2**31, 2**40, 2**62])) * 2 ** int(
        generator.choice([0, 0, 3, 10])
    )
    texts = [
        f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({size}, 28, 28)}}",
        f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({size},)}}",
        f"{{'descr': '<i8', 'fortran_order': True, 'shape': ({size},)}}",
        f"{{'descr': '|V{abs(size)}', 'fortran_order': False, 'shape': (20,)}}",
        f"{{'descr': '<U{abs(size)}', 'fortran_order': False, 'shape': (20,)}}",
        f"{{'descr': ('|u1', ({size},)), 'fortran_order': False, 'shape': (20,)}}",
        f"{{'descr': {'[' * 150}'|u1'{']' * 150}, 'fortran_order': False, 'shape': (20,)}}",
        f"{{'descr': '|u1', 'fortran_order': False, 'shape': {'-' * 9000}1}}",
        f"{{'descr': '|u1', 'fortran_order': False, 'shape': {'(' * 190}{')' * 190}}}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (20L, 28L, 28L)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (20, 28, 28.0)}",
        "{'descr': '|u1', 'fortran_order': 0, 'shape': (20, 28, 28)}",
        "{'descr': 'no type', 'fortran_order': False, 'shape': (20,)}",
        "{'descr': '|u1', 'shape': (20,)}",
        "{[]: 1}",
        "{1: 2, 'a': 3}",
        "(((",
        "'''",
        "\\\n  1\n 2",
        f"__import__('pathlib').Path({str(marker)!r}).touch()",
        " " * 20_000,
    ]
    text = texts[generator.choice(len(texts))].encode()
    length = len(text) if generator.random() < 0.9 else int(generator.integers(65536))
    version = [b"\x01\x00"] * 8 + [b"\x02\x00", b"\x03\x00", b"\x09\x00"]
    header = b"\x93NUMPY" + version[generator.choice(len(version))] + struct.pack("<H", length)
    members[name] = header + text + members[name][128:]
    pack(path, members)


def zip_bomb(path, generator, marker):
    """Let a few bytes unpack to gigabytes, declared as they are or as less."""
    members = members_of(path)
    name = one_of(generator, members)
    blocks = int(generator.integers(1, 4096))
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    honest = generator.random() < 0.5
    if honest:  # a whole array of blocks MiB, in rows of 784 bytes
        shape = (blocks * MIB // 784, 28, 28) if name.startswith("x") else (blocks * MIB,)
        start = npy(np.zeros(0, np.uint8)).replace(b"(0,)", str(shape).encode())
        start = start[:128] + bytes(max(0, 128 - len(start)))
    else:
        start = members[name]
    body = compressor.compress(start) + compressor.flush(zlib.Z_FULL_FLUSH)
    block = compressor.compress(bytes(MIB)) + compressor.flush(zlib.Z_FULL_FLUSH)
    method = int(generator.choice([zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA]))
    body += block * min(blocks, 512) + compressor.flush()
    declared = len(start) + (blocks * MIB if honest else 0)
    declared = declared if generator.random() < 0.8 else int(generator.integers(2**32 - 1))
    del members[name]
    pack(path, members, zipfile.ZIP_STORED)
    add_raw(path, name, body, declared, zlib.crc32(start), method)


def add_raw(path, name, body, size, checksum, method):
    """Add an entry to an archive, whatever it says about itself."""
    with zipfile.ZipFile(path, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr(name, body)
        entry = archive.getinfo(name)
        entry.compress_type, entry.file_size, entry.CRC = method, size, checksum
    content = bytearray(path.read_bytes())
    struct.pack_into("<H", content, entry.header_offset + 8, method)
    struct.pack_into("<I", content, entry.header_offset + 14, checksum)
    struct.pack_into("<I", content, entry.header_offset + 22, size)
    path.write_bytes(content)


def compressed_otherwise(path, generator, marker):
    """Unpack at once to far more than is declared, as Python does with these two methods."""
    members = members_of(path)
    name = one_of(generator, members)
    method = int(generator.choice([zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]))
    members[name] += bytes(int(generator.integers(64)) * MIB)
    pack(path, members, method)


def tampered_directory(path, generator, marker):
    """Change one field of an entry in the archive's directory, or of the directory's end."""
    content = bytearray(path.read_bytes())
    entries = [found.start() for found in re.finditer(b"PK\x01\x02", content)]
    fields = [(6, "H"), (8, "H"), (10, "H"), (16, "I"), (20, "I"), (24, "I"), (28, "H"), (30, "H"),
              (34, "H"), (42, "I")]  # fmt: skip
    place, form = fields[generator.choice(len(fields))]
    start = entries[generator.choice(len(entries))]
    if generator.random() < 0.2:
        start = content.rindex(b"PK\x05\x06")
        place, form = [(8, "H"), (10, "H"), (12, "I"), (16, "I"), (20, "H")][generator.choice(5)]
    old = struct.unpack_from(f"<{form}", content, start + place)[0]
    most = 2 ** (8 * struct.calcsize(form)) - 1
    new = [0, 1, old ^ 1, (old + 1) & most, most, int(generator.integers(most))]
    struct.pack_into(f"<{form}", content, start + place, new[generator.choice(len(new))])
    path.write_bytes(content)


def many_entries(path, generator, marker):
    members = [(f"{number}", b"") for number in range(generator.integers(1, 3000))]
    pack(path, [*members_of(path).items(), *members], zipfile.ZIP_STORED)


def in_other_company(path, generator, marker):
    """Put an array, a pickle or another archive before or behind the archive."""
    whole = path.read_bytes()
    others = [npy(np.zeros(9)), pickle.dumps(Code(marker)), whole, generator.bytes(700)]
    other = others[generator.choice(len(others))]
    path.write_bytes(other + whole if generator.random() < 0.5 else whole + other)


NPZ = [
    other_names, other_types, other_shapes, labels_out_of_range, objects_with_code, other_headers,
    zip_bomb, compressed_otherwise, tampered_directory, many_entries, in_other_company,
]  # fmt: skip


def read_images(path):
    os.environ["COURSE_DATA_DIR"] = str(path.parent)
    data = datasets.load_mnist()
    parts = (data.x_train, data.y_train, data.x_test, data.y_test)
    return [datasets.array_checksum(part) for part in parts]


def test_npz_files_that_were_tampered_with(elsewhere, tmp_path, trials, row):
    images = np.random.default_rng(SEED).integers(0, 256, (2, 20, 28, 28)).astype(np.uint8)
    whole = tmp_path / "whole" / "mnist.npz"
    whole.parent.mkdir()
    save(whole, **arrays(x_train=images[0], x_test=images[1]))
    lost, outcomes = judge(
        elsewhere,
        read_images,
        BYTES + NPZ,
        trials(full=50, few=5),
        whole=whole,
        remedy="replace it by the official file, or remove it|put the file there, or unset",
    )
    what = "npz files that were broken or tampered with"
    row("data").conclude("fuzz_npz", what, tried=len(outcomes), lost=lost, **figures(outcomes))


# --- mutations of a JSON file ---------------------------------------------------------------------


def places(content, path=()):
    """List the paths of all values inside a JSON value."""
    inside = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in inside:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


def change(path, generator, change_at):
    """Change one value: ``change_at(container, key)``."""
    content = json.loads(path.read_text())
    found = list(places(content))
    *inner, key = found[generator.choice(len(found))]
    container = content
    for step in inner:
        container = container[step]
    change_at(container, key)
    path.write_text(json.dumps(content))


def a_value_missing(path, generator, marker):
    change(path, generator, lambda container, key: container.pop(key))


def a_value_of_another_kind(path, generator, marker):
    others = [None, True, -1, 1.5, "", "x", [], [[]], {}, {"x": 1}, "../../x", [0.5] * 7, 10**400]
    other = others[generator.choice(len(others))]
    change(path, generator, lambda container, key: container.__setitem__(key, other))


def no_number(path, generator, marker):
    number = generator.choice([np.nan, np.inf, -np.inf])
    change(path, generator, lambda container, key: container.__setitem__(key, number))


def a_key_of_another_name(path, generator, marker):
    def rename(container, key):
        if isinstance(container, dict):
            names = ["", "self", "content", "__class__", "stale", "x" * 5000, "\n"]
            container[names[generator.choice(len(names))]] = container.pop(key)

    change(path, generator, rename)


def other_syntax(path, generator, marker):
    """Write the content as no JSON reader should take it, or as one that never ends."""
    text = path.read_text()
    depth = int(generator.integers(1000, 200_000))
    others = [
        f"\ufeff{text}",
        text.replace('"', "'"),
        text.replace("}", ",}"),
        f"// a comment\n{text}",
        f"{text}\n{text}",
        re.sub(r"\d+", "1e999", text),
        re.sub(r"\d+", "9" * 5000, text),
        re.sub(r"\d+", "-" + "9" * 400, text),
        re.sub(r'"[^"]*"', lambda found: '"\\ud800"', text),
        "[" * depth + "]" * depth,
        '{"runs":' * depth + "1" + "}" * depth,
        f'{{"runs": {text}, "table": {text}, "quiz": {text}}}',
        "null", "0", '"x"', "[]", "{}", "NaN",
    ]  # fmt: skip
    encoding = ["utf-8", "utf-8", "utf-16", "utf-32"][generator.choice(4)]
    path.write_bytes(others[generator.choice(len(others))].encode(encoding, "surrogatepass"))


def too_large(path, generator, marker):
    fillers = [" ", "[],", "0,", '"x",', "{}"]
    filler = fillers[generator.choice(len(fillers))]
    size = int(generator.integers(records.LARGEST_JSON // 2, 3 * records.LARGEST_JSON // 2))
    text = path.read_text()
    path.write_text(f"[{filler * (size // len(filler))}{text}]")


def code_for_a_reader_that_runs_it(path, generator, marker):
    code = f"__import__('pathlib').Path({str(marker)!r}).touch()"
    others = [
        code,
        json.dumps({"py/object/apply": "pathlib.Path.touch", "args": [str(marker)]}),
        f"!!python/object/apply:pathlib.Path.touch [{str(marker)!r}]",
        json.dumps({"__reduce__": [code], "runs": code}),
        f"{{'recorded': {code}}}",
    ]
    path.write_text(others[generator.choice(len(others))])


JSON = [
    a_value_missing, a_value_of_another_kind, no_number, a_key_of_another_name, other_syntax,
    too_large, code_for_a_reader_that_runs_it,
]  # fmt: skip


# JSON holds no checksum, so a changed figure cannot be told from another one. What counts is that
# everything that the course does with what was read works, so these return no content.


def use_records(path):
    os.environ["COURSE_RESULTS_DIR"] = str(path.parent)
    records.summary({"an experiment": "02_simple_cnn"})
    for run in records.recorded_runs():
        assert {len(curve) for curve in run["history"].values()} == {len(run["history"]["loss"])}
        assert sum(map(sum, run["history"].values())) + run["seconds"] > 0
        assert run["hardware"]["cores"] and run["versions"]["keras"] and run["recorded"]
    return "usable"


def use_race(path):
    os.environ["COURSE_RESULTS_DIR"] = str(path.parent)
    race = records.race()
    return "usable" if race is None or race.reset_index().astype(str).to_html() else None


def use_history(path):
    from course_utils import training

    training.load_history(path)
    return "usable"


def use_quiz(path):
    os.environ["COURSE_EXERCISES_DIR"] = str(path.parent)
    return repr(exercises.quiz("02"))


def test_json_files_that_were_tampered_with(elsewhere, here, tmp_path, trials, row):
    from test_records import RUN, stored  # loads Keras, which the reading process does without

    noted = {"name": "02_simple_cnn", "figures": {"accuracy": 0.5, "seconds": 3.5}}
    tested = {"name": "02_simple_cnn_0", "seed": 0, "correct": 1, "images": 2, "accuracy": 0.5}
    stored(
        tmp_path / "records",
        [RUN, RUN | {"name": "02_simple_cnn_1", "seed": 1}],
        notes=[noted | {"seed": 0}, noted | {"seed": 1}],
        tests=[tested],
    )
    race = {"recipe": "fast", "goal": "90 %", "seconds": 91, "test accuracy": "90.1"}
    quiz = Path(exercises.__file__).parent / "exercise_data" / "02.json"
    rest = {
        "races/race.json": json.dumps({"table": [race, race | {"recipe": "faster"}]}),
        "runs/run.json": json.dumps(RUN),
        "quizzes/02.json": quiz.read_text(encoding="utf-8"),
    }
    for name, text in rest.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text, encoding="utf-8")
    lost, outcomes = [], []
    for name, tried, read, remedy in [
        ("records/02_baseline.json", elsewhere, use_records, "measure it again, or remove it"),
        ("races/race.json", elsewhere, use_race, "measure it again, or remove it"),
        ("runs/run.json", here, use_history, "run the cell that saves it"),
        ("quizzes/02.json", elsewhere, use_quiz, "install the course anew"),
    ]:
        # Without its file a notebook has no quiz, which is no damage.
        mutations = [each for each in BYTES + JSON if read is not use_quiz or each is not no_file]
        count = trials(full=20, few=3)
        more_lost, more = judge(tried, read, mutations, count, whole=tmp_path / name, remedy=remedy)
        lost += more_lost
        outcomes += more
    what = "JSON files (records, race, histories, exercises) that were broken or tampered with"
    row("data").conclude("fuzz_json", what, tried=len(outcomes), lost=lost, **figures(outcomes))
