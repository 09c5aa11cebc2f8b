"""What comes from others runs no code here, and nobody else gets in."""

import ast
import base64
import http.client
import json
import os
import pickle
import re
import shlex
import shutil
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from servers import answers, wait_until_it_listens
from test_bad_files import Code

ROOT = Path(__file__).resolve().parents[2]

# --- no pickle, and no code from files ------------------------------------------------------------

MODULES = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
CALLS = {
    "eval", "exec", "read_pickle", "unsafe_load", "full_load", "enable_unsafe_deserialization",
    "func_load",
}  # fmt: skip
# Calls that need an argument to be safe; torch.load would be safe with weights_only=True.
SAFE_WITH = {
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
    "read_array": ("allow_pickle", False),
    "torch.load": ("weights_only", True),
    "yaml.load": ("Loader", "a safe one"),
    "models.load_model": ("safe_mode", True),
    "saving.load_model": ("safe_mode", True),
}
UNSAFE = {("allow_pickle", True), ("safe_mode", False), ("weights_only", False)}

# The lesson on pickles unpickles its own, and code of the course that is kept as text is run.
KNOWN = {
    "notebooks/02_baseline.py": ["import pickle", "pickle.loads(stored)"],
    "course_utils/exercises.py": ["exec(compile(decode(packed), …"],
    "benchmarks/racing.py": ["exec(compile(text, …"],
}

PLANTED = [
    "import pickle",
    "from pickle import loads",
    "import joblib as j",
    "from numpy import load",
    "np.load(path)",
    "numpy.load(path, allow_pickle=True)",
    "np.load(path, allow_pickle=trusted)",
    "np.lib.format.read_array(file)",
    "pd.read_pickle(path)",
    "torch.load(path)",
    "torch.load(path, weights_only=False)",
    "keras.models.load_model(path)",
    "keras.saving.load_model(path, safe_mode=False)",
    "keras.models.load_model(path, None, True, False)",
    "from keras.models import load_model",
    "keras.config.enable_unsafe_deserialization()",
    "yaml.load(text)",
    "yaml.unsafe_load(text)",
    "eval(path.read_text())",
    "exec(compile(text, 'x', 'exec'))",
    "importlib.import_module('pickle')",
    "keras.saving.deserialize_keras_object(config, safe_mode=False)",
    "getattr(np, 'load')(path)",
]
HARMLESS = [
    "np.load(path, allow_pickle=False)",
    "training.load_model(path)",
    "keras.models.load_model(path, safe_mode=True)",
    "json.load(file)",
    "pickle.dumps(value)",
    "yaml.safe_load(text)",
    "ast.literal_eval(text)",
    "self.load(path)",
]


def dangers(text):
    """List the places of Python code that would unpickle or run what a file holds."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import) and {name.name for name in node.names} & MODULES:
            yield ast.unparse(node)
        elif isinstance(node, ast.ImportFrom):
            names = {name.name for name in node.names}
            if node.module in MODULES or names & ({"load", "load_model"} | CALLS | MODULES):
                yield ast.unparse(node)
        elif isinstance(node, ast.Call) and dangerous(node):
            yield ast.unparse(node)


def dangerous(call):
    name = ast.unparse(call.func)
    given = {word.arg: ast.unparse(word.value) for word in call.keywords}
    module, _, function = name.rpartition(".")
    texts = {value.value for value in call.args if isinstance(value, ast.Constant)}
    if module in MODULES and not function.startswith("dump"):
        return True
    if function in CALLS or any(given.get(k) == str(v) for k, v in UNSAFE):
        return True
    if name in ("getattr", "__import__", "importlib.import_module"):
        return bool(texts & (MODULES | CALLS | {"load", "load_model"}))
    for ending, (key, value) in SAFE_WITH.items():
        if name == ending or name.endswith(f".{ending}"):
            return given.get(key) != str(value)
    return False


def sources():
    for folder in ("course_utils", "tools", "benchmarks", "notebooks", "docs"):
        yield from sorted((ROOT / folder).rglob("*.py"))


def unknown_dangers(path):
    """List what no lesson and no rule of `KNOWN` asks for."""
    known = [
        re.escape(k).replace("…", ".*") for k in KNOWN.get(path.relative_to(ROOT).as_posix(), ())
    ]
    found = list(dangers(path.read_text(encoding="utf-8")))
    return [place for place in found if not any(re.fullmatch(k, place, re.S) for k in known)]


def test_no_code_of_the_course_unpickles_or_runs_what_a_file_holds(row):
    paths = list(sources())
    lost = [f"{path.name}: {place}" for path in paths for place in unknown_dangers(path)]
    lost += [f"planted and not found: {call}" for call in PLANTED if not list(dangers(call))]
    assert not [call for call in HARMLESS if list(dangers(call))]
    row("trust").conclude(
        "no_pickle",
        "files of the course read for calls that unpickle or run what a file holds, and such "
        "calls planted to be found",
        tried=len(paths) + len(PLANTED),
        lost=lost,
    )


def test_the_known_exceptions_are_still_there():
    for name, places in KNOWN.items():
        found = list(dangers((ROOT / name).read_text(encoding="utf-8")))
        assert len(found) == len(places), f"{name} has {found}: bring KNOWN up to date"


class Unpicklings:
    """Notes what is unpickled while it is active; Python offers no way to remove a hook."""

    def __init__(self):
        self.active, self.found = False, []
        sys.addaudithook(self.hook)

    def hook(self, event, arguments):
        if self.active and event == "pickle.find_class":
            self.found.append(arguments)

    def __enter__(self):
        self.found, self.active = [], True
        return self.found

    def __exit__(self, *_):
        self.active = False


def small_model(extra=()):
    import keras

    layers = [keras.Input((2, 2, 1)), keras.layers.Flatten(), *extra, keras.layers.Dense(2)]
    model = keras.Sequential(layers)
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def test_nothing_is_unpickled_while_the_course_works(tmp_path, monkeypatch):
    from course_utils import augmentation, datasets, exercises, records, training

    unpicklings = Unpicklings()
    with unpicklings as found:
        pickle.loads(pickle.dumps(Path()))  # noqa: S301 - that is noticed
    assert found
    images = np.zeros((20, 2, 2, 1), np.uint8)
    with unpicklings as found:
        datasets.load_mnist()
        for _ in range(2):
            batches = augmentation.Batches(
                images, np.arange(20) % 2, batch_size=10, normalize=augmentation.scale
            )
            training.seed_everything(0)
            model = small_model()
            run = training.fit(model, batches, name="run", epochs=1, progress=None)
        training.load_history(run.path / "run.json")
        training.load_model(training.save_model(model, tmp_path / "model.keras"))
        list(records.recorded_runs())
        exercises.quiz("02")
    assert run.reused
    assert found == []


# --- models from others ---------------------------------------------------------------------------


def with_config(path, change):
    """Change the description of a saved model: ``change(config)``."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    change(config)
    members["config.json"] = json.dumps(config).encode()
    write(path, members)


def write(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def layer(module, name, /, **config):
    return {
        "module": module,
        "class_name": name,
        "registered_name": None,
        "config": {"name": name.lower(), **config},
    }


def function(module, name):
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


def calling(module, name, /, **arguments):
    """Return a Lambda layer that would call a function by its name."""
    called = function(module, name)
    return layer("keras.layers", "Lambda", function=called, arguments=arguments)


def stored_lambda(marker):
    """Return a Python function as a ``.keras`` file keeps it: its compiled code."""
    from keras.src.utils import python_utils

    code, defaults, closure = python_utils.func_dump(
        eval(f"lambda x: __import__('pathlib').Path({str(marker)!r}).touch() or x")
    )
    return {
        "class_name": "__lambda__",
        "config": {"code": code, "defaults": defaults, "closure": closure},
    }


def malicious_layers(marker, folder):
    """Yield layers that would run code, read files or ask other hosts while a model is loaded."""
    touch = f"touch {shlex.quote(str(marker))}"
    code = stored_lambda(marker)
    lambda_layer = layer("keras.layers", "Lambda", function=code)
    relu = function("keras.activations", "relu")
    yield "a Lambda layer", [lambda_layer]
    yield "a shape", [layer("keras.layers", "Lambda", function=relu, output_shape=code)]
    yield "a wrapped Lambda", [layer("keras.layers", "TimeDistributed", layer=lambda_layer)]
    yield "an activation", [layer("keras.layers", "Dense", units=2, activation=code)]
    bare = {"class_name": "__lambda__", "config": {"value": code["config"]["code"]}}
    yield "an initializer", [layer("keras.layers", "Dense", units=2, kernel_initializer=bare)]
    yield "os.system", [calling("os", "system", command=touch)]
    yield "builtins.exec", [calling("builtins", "exec")]
    yield "subprocess.Popen", [layer("subprocess", "Popen", args=touch, shell=True)]
    yield "a module of mine", [layer("module_of_mine", "Layer")]
    for module in ("keras.config", "keras.src.saving.serialization_lib"):
        switch = calling(module, "enable_unsafe_deserialization")
        yield f"{module} switched off", [switch, lambda_layer]
    for module in ("keras.utils", "keras.src.utils.file_utils"):
        arguments = {"origin": Path(__file__).as_uri(), "cache_dir": str(folder / "cache")}
        yield f"{module}.get_file", [calling(module, "get_file", **arguments)]
    yield "load_model", [calling("keras.models", "load_model", safe_mode=False)]
    wrapped = base64.b64encode(pickle.dumps(Code(marker))).decode()
    for module in ("keras.layers", "keras.src.utils.torch_utils"):
        yield f"{module} with PyTorch", [layer(module, "TorchModuleWrapper", module=wrapped)]
    saved = str(folder / "model")
    yield "a SavedModel", [layer("keras.layers", "TFSMLayer", filepath=saved)]
    yield "a file's words", [layer("keras.layers", "StringLookup", vocabulary="/etc/hostname")]


def malicious_files(path, marker):
    """Write model files of other people to a path, one after the other; yield what each hides."""
    import keras

    from course_utils import training

    folder = path.parent
    whole = training.save_model(small_model(), path).read_bytes()
    for name, layers in malicious_layers(marker, folder):
        path.write_bytes(whole)
        with_config(path, lambda config, new=layers: config["config"]["layers"].extend(new))
        yield name
    schedule = {"base": 0.1, "maximum": 0.2, "step_size": 2, "policy": "triangular", "gamma": 1.0}
    schedule |= {"scale_function": stored_lambda(marker), "scale_mode": "cycle"}
    rate = layer("course_utils.callbacks", "CyclicLR", **schedule)
    compiled = {
        "loss": stored_lambda(marker),
        "metrics": [stored_lambda(marker)],
        "optimizer": layer("keras.optimizers", "SGD", learning_rate=rate),
    }
    for key, value in compiled.items():
        path.write_bytes(whole)
        with_config(path, lambda config, k=key, v=value: config["compile_config"].update({k: v}))
        yield f"a compiled {key}"
    path.write_bytes(whole)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in ("config.json", "metadata.json")}
    np.savez(folder / "weights.npz", **{"layers/dense/vars": np.array([Code(marker)], object)})
    write(path, members | {"model.weights.npz": (folder / "weights.npz").read_bytes()})
    yield "weights that are objects"
    path.write_bytes(pickle.dumps(Code(marker)))
    yield "a pickle"
    small_model([keras.layers.Lambda(lambda x: x)]).save(folder / "old.h5")
    path.write_bytes((folder / "old.h5").read_bytes())
    yield "an older format"
    path.write_bytes(whole[: len(whole) // 2])
    yield "half a file"


def test_models_that_hide_code_are_refused(tmp_path, monkeypatch, row):
    from keras.src.saving import serialization_lib

    from course_utils import training

    path, marker = tmp_path / "model.keras", tmp_path / "marker"
    (tmp_path / "module_of_mine.py").write_text(f"open({str(marker)!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    lost, tried = [], 0
    for name in malicious_files(path, marker):
        tried += 1
        try:
            training.load_model(path)
            lost.append(f"{name}: it was loaded")
        except ValueError as error:
            if str(path) not in str(error) or "safe_mode=False" in str(error):
                lost.append(f"{name}: the complaint is not clear: {error}")
        except Exception as error:  # noqa: BLE001 - refused, but not in one sentence
            lost.append(f"{name}: {type(error).__name__}: {error}")
        if marker.exists() or (tmp_path / "cache").exists():
            lost.append(f"{name}: its code ran")
            marker.unlink(missing_ok=True)
        if serialization_lib.in_safe_mode() is False:
            lost.append(f"{name}: it switched safe mode off")
    row("trust").conclude("unsafe_models", "model files that hide code", tried=tried, lost=lost)


def test_the_malicious_model_would_run_if_it_were_trusted(tmp_path):
    import keras

    path, marker = tmp_path / "model.keras", tmp_path / "marker"
    assert next(malicious_files(path, marker)) == "a Lambda layer"
    keras.models.load_model(path, safe_mode=False)
    assert marker.exists()


# --- JupyterLab and CI ----------------------------------------------------------------------------


def printed_by_make(target):
    """Return the commands of a target, each on one line, without running them."""
    command = ["make", "--no-print-directory", "-n", target]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout.strip().replace("\\\n", " ").splitlines()


@pytest.mark.skipif(sys.platform == "win32", reason="the Makefile needs .venv/bin")
def test_the_commands_of_a_target_are_read_within_make_as_well(monkeypatch):
    monkeypatch.setenv("MAKELEVEL", "1")  # as `make test` does: make then says where it works
    assert "jupyter" in printed_by_make("lab")[-1]


@pytest.fixture
def lab(tmp_path):
    """Start JupyterLab as ``make lab`` does, on a free port; give the process and its address.

    It serves copies of the notebooks: a door that stood open would let a test delete one.
    """
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    options = shlex.split(printed_by_make("lab")[-1])[1:]
    command = [sys.executable, "-m", "jupyter", *options, "--no-browser", "--port", "0"]
    own = {f"JUPYTER_{name}_DIR": str(tmp_path / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    environment = {**os.environ, **own, "IPYTHONDIR": str(tmp_path / "ipython")}
    environment.pop("JUPYTER_TOKEN", None)
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)
    try:
        told = wait_until_it_listens(process, tmp_path / "RUNTIME", tmp_path / "log")
        yield process, told
    finally:
        process.terminate()
        process.wait(timeout=60)


def status(address, method, path, **headers):
    """Ask the server, and return its status and where it leads."""
    connection = http.client.HTTPConnection("127.0.0.1", address["port"], timeout=60)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    connection.close()
    return answer.status, answer.headers.get("Location", "")


DOORS = [
    ("GET", "/lab"),
    ("GET", "/api/contents"),
    ("GET", "/api/kernels"),
    ("GET", "/api/sessions"),
    ("GET", "/files/01_exploration.ipynb"),
    ("GET", "/api/contents/01_exploration.ipynb"),
    ("POST", "/api/kernels"),
    ("POST", "/api/terminals"),
    ("PUT", "/api/contents/new.ipynb"),
    ("DELETE", "/api/contents/01_exploration.ipynb"),
    ("POST", "/api/shutdown"),
]


def other_addresses():
    """Return the addresses of this machine other than 127.0.0.1, at which no server may answer."""
    import psutil

    found = {
        each.address
        for some in psutil.net_if_addrs().values()
        for each in some
        if each.family in (socket.AF_INET, socket.AF_INET6)
    }
    # 127.0.0.2 is this machine as well, and it needs no network.
    return sorted((found | {"127.0.0.2"}) - {"127.0.0.1"})


def test_the_lab_listens_to_this_machine_alone_and_asks_for_a_token(lab, row):
    process, address = lab
    token = address["token"]
    assert len(token) >= 32
    elsewhere = other_addresses()
    lost = [f"it answers at {host}" for host in elsewhere if answers(host, address["port"])]
    entries = [{}, {"Authorization": "token wrong"}, {"Authorization": "token "}, {"Cookie": "a=b"}]
    entries.append({"Authorization": f"token {token}", "Host": "elsewhere.example"})
    for method, path in DOORS:
        for headers in entries:
            code, leads_to = status(address, method, path, **headers)
            if code != 403 and not (code == 302 and leads_to.startswith("/login")):
                lost.append(f"{method} {path} with {headers}: {code} {leads_to}")
    assert answers("127.0.0.1", address["port"]) and process.poll() is None
    code, _ = status(address, "GET", "/api/contents", Authorization=f"token {token}")
    assert code == 200
    row("trust").conclude(
        "lab_server",
        "requests without the token, or by another host's name, to JupyterLab as `make lab` "
        "starts it",
        tried=len(DOORS) * len(entries) + len(elsewhere),
        lost=lost,
    )


WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_read_the_repository_and_nothing_else(path):
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    # YAML 1.1 reads the key `on` as true.
    assert "pull_request_target" not in workflow[True] and "workflow_run" not in workflow[True]
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        assert "permissions" not in job, f"{name} asks for more"
        for step in job["steps"]:
            # What somebody else can write, such as the name of a branch, belongs in no command.
            assert "github." not in step.get("run", ""), f"{name}: {step['run']}"
            if "actions/checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False, f"{name} keeps the token"
            assert step.get("uses", "actions/").startswith("actions/"), f"{name}: {step['uses']}"
    assert "secrets." not in path.read_text(encoding="utf-8")


def test_packages_that_could_not_be_looked_up_fail_the_audit():
    command = " ".join(printed_by_make("audit"))
    assert "--strict" in command and "requirements.txt" in command
