import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest

from course_utils import records, training
from course_utils.augmentation import Batches, flip, pad_and_crop, scale
from course_utils.callbacks import BatchHistory

GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.integers(0, 256, (60, 8, 8, 1)).astype(np.uint8)
LABELS = (IMAGES.mean(axis=(1, 2, 3)) > 127).astype(np.int64)


def build(*, units=8, rate=0.3, learning_rate=0.01, seed=0):
    training.seed_everything(seed)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(units, activation="relu"),
            keras.layers.Dropout(rate),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def train_batches(seed=0):
    return Batches(
        IMAGES,
        LABELS,
        batch_size=16,
        normalize=scale,
        transforms=[flip(), pad_and_crop(1)],
        shuffle=True,
        seed=seed,
    )


def validation_batches():
    return Batches(IMAGES[:20], LABELS[:20], batch_size=20, normalize=scale)


class StopAfter(keras.callbacks.Callback):
    """Interrupt the kernel, as a learner does, at a batch of an epoch."""

    def __init__(self, epoch, batch):
        super().__init__()
        self._where = (epoch, batch)
        self._epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self._epoch, batch) == self._where:
            raise KeyboardInterrupt


def plateau():
    return keras.callbacks.ReduceLROnPlateau(monitor="val_loss", patience=0, factor=0.5)


def fit(model, *, epochs=4, callbacks=(), batches=None, name="run", progress=None, **options):
    return training.fit(
        model,
        batches or train_batches(),
        name=name,
        epochs=epochs,
        validation=validation_batches(),
        callbacks=callbacks,
        progress=progress,
        **options,
    )


def same_weights(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a.get_weights(), b.get_weights(), strict=True))


def test_training_lowers_the_loss_and_reports_each_epoch():
    model = build()
    run = fit(model, epochs=8)
    assert run.history["loss"][-1] < run.history["loss"][0]
    assert set(run.history) == {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"}
    assert {len(values) for values in run.history.values()} == {8}
    assert run.epochs == 8
    assert not run.reused
    assert run.images_per_second == pytest.approx(60 * 8 / run.seconds)


def test_a_finished_run_is_read_back_not_repeated():
    first_model = build()
    first = fit(first_model)
    again_model = build()
    again = fit(again_model)
    assert again.reused
    assert again.history == first.history
    assert again.seconds == first.seconds
    assert same_weights(first_model, again_model)


class KeepArrays(keras.callbacks.Callback):
    """Fill a list that was there from the beginning."""

    def __init__(self):
        super().__init__()
        self.kept = []

    def on_epoch_end(self, epoch, logs=None):
        self.kept.append(np.full(3, epoch))


def test_a_list_that_a_callback_fills_stays_out_of_the_settings(tmp_path):
    keeper = KeepArrays()
    arguments = {"name": "x", "epochs": 2, "folder": tmp_path, "progress": None}
    run = training.fit(build(), train_batches(), callbacks=[keeper], **arguments)
    ((name, state),) = json.loads((run.path / "run.json").read_text())["settings"]["callbacks"]
    assert (name, state["kept"]) == ("KeepArrays", [])
    again = KeepArrays()
    assert training.fit(build(), train_batches(), callbacks=[again], **arguments).reused
    assert [list(array) for array in again.kept] == [[0, 0, 0], [1, 1, 1]]


class Measure(keras.callbacks.Callback):
    """Hold state of every kind: an array, NumPy scalars, a list that each start empties."""

    def __init__(self):
        super().__init__()
        self.inputs = np.ones((500, 4), np.float32)
        self.total = np.zeros(3)
        self.last = np.float32(0)
        self.means, self.seen = [], []

    def on_train_begin(self, logs=None):
        self.seen.clear()

    def on_epoch_end(self, epoch, logs=None):
        self.total += epoch
        self.last = np.float32(0.1) * (self.last + np.float32(logs["loss"]))
        self.means.append(np.float32(logs["loss"]))
        self.seen.append(epoch)

    def state(self):
        return [self.inputs.sum(), list(self.total), self.last, self.means, self.seen]


def test_an_interruption_loses_no_array_or_scalar_of_a_callback(tmp_path):
    def measured(folder, *, until):
        measure = Measure()
        end = measure.on_epoch_end

        def on_epoch_end(epoch, logs=None):
            end(epoch, logs)
            if epoch == until:
                raise KeyboardInterrupt

        measure.on_epoch_end = on_epoch_end
        with contextlib.suppress(KeyboardInterrupt):
            fit(build(), callbacks=[measure], folder=folder)
        return measure

    whole = measured(tmp_path / "whole", until=None)
    measured(tmp_path / "broken", until=2)
    resumed = measured(tmp_path / "broken", until=None)
    assert resumed.state() == whole.state()
    assert resumed.last.dtype == np.float32
    with np.load(next(tmp_path.glob("broken/*/state.npz"))) as saved:
        assert "callback_0_total_0" in saved.files
        assert "callback_0_inputs_0" not in saved.files  # it never changes


def test_a_run_is_not_finished_before_its_record_is_there(tmp_path, monkeypatch):
    def stop(history, path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "save_history", stop)
        with pytest.raises(KeyboardInterrupt):
            fit(build(), folder=tmp_path)
    run = fit(build(), folder=tmp_path)
    assert not run.reused
    assert training.load_history(run.path / "run.json")["history"] == run.history


def test_callbacks_of_a_run_that_is_read_back_know_what_they_saw():
    first, again = BatchHistory(), BatchHistory()
    fit(build(), callbacks=[first])
    assert fit(build(), callbacks=[again]).reused
    assert len(first.loss) == 4 * 4
    assert again.loss == first.loss


@pytest.mark.parametrize("kind", ["units", "rate", "learning_rate", "seed", "data", "epochs"])
def test_a_changed_setting_starts_a_new_run(kind):
    first = fit(build())
    changed = {
        "units": {"model": build(units=9)},
        "rate": {"model": build(rate=0.4)},
        "learning_rate": {"model": build(learning_rate=0.02)},
        "seed": {"model": build(seed=1)},
        "data": {"batches": train_batches(seed=1)},
        "epochs": {"epochs": 5},
    }[kind]
    second = fit(**({"model": build()} | changed))
    assert not second.reused
    assert second.path != first.path


def test_two_models_of_one_process_have_the_same_key_whatever_keras_calls_their_layers():
    first = fit(build())
    keras.layers.Dense(1)
    assert fit(build()).path == first.path


@pytest.mark.parametrize(("epoch", "batch"), [(0, 1), (2, 0), (3, 3)])
def test_an_interrupted_run_ends_like_an_uninterrupted_one(tmp_path, epoch, batch):
    whole_model = build()
    whole = fit(whole_model, callbacks=[plateau()], folder=tmp_path / "whole")
    broken = build()
    with pytest.raises(KeyboardInterrupt):
        # The interrupting callback keeps no plain attribute, and its name is not in the key.
        fit_interrupted(broken, StopAfter(epoch, batch), tmp_path / "broken")
    resumed_model = build()
    resumed = fit(resumed_model, callbacks=[plateau()], folder=tmp_path / "broken")
    assert not resumed.reused
    assert resumed.history == whole.history
    assert same_weights(whole_model, resumed_model)


class Both:
    """Call two functions in turn; it is none itself, so the key of a run does not see it."""

    def __init__(self, first, second):
        self.functions = first, second

    def __call__(self, place, logs=None):
        for function in self.functions:
            function(place, logs)


def fit_interrupted(model, stopper, folder):
    """Fit with a callback list that is keyed as ``[plateau()]`` but also holds the stopper."""
    reducer = plateau()
    for moment in ("on_train_batch_end", "on_epoch_begin"):
        setattr(reducer, moment, Both(getattr(stopper, moment), getattr(reducer, moment)))
    return fit(model, callbacks=[reducer], folder=folder)


def kept(capsys):
    """What the last interruption said."""
    return capsys.readouterr().out.splitlines()[-1]


def test_an_interruption_says_what_is_kept_and_the_same_call_goes_on(tmp_path, capsys, monkeypatch):
    """The cell that builds the model is not run again: only the call of fit is."""
    whole_model = build()
    whole = fit(whole_model, callbacks=[BatchHistory(), plateau()], folder=tmp_path / "whole")
    model, record, reducer = build(), BatchHistory(), plateau()

    def go_on(**options):
        return fit(model, callbacks=[record, reducer], folder=tmp_path, progress="line", **options)

    def interrupt(batches):
        """Interrupt after so many batches of this call."""
        left = iter(range(batches - 1))

        def stop(memory, batch, logs=None):
            if next(left, None) is None:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(training._Memory, "on_train_batch_end", stop)
            with pytest.raises(KeyboardInterrupt):
                go_on()

    interrupt(2)
    assert kept(capsys) == (
        "Interrupted in epoch 1 of 4: no epoch is finished, so nothing is kept yet; "
        "run this cell again to start anew."
    )
    assert same_weights(model, build())
    interrupt(4 * 2 + 1)
    assert kept(capsys).startswith("Interrupted in epoch 3 of 4: 2 epochs are kept; run this cell")
    interrupt(4 + 1)
    assert kept(capsys).startswith("Interrupted in epoch 4 of 4: 3 epochs are kept; run this cell")
    resumed = go_on()
    assert kept(capsys).startswith("run: epoch 4/4 · ")
    assert resumed.history == whole.history
    assert resumed.path.parent == tmp_path and len(list(tmp_path.glob("run-*"))) == 1
    assert same_weights(model, whole_model)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_process_goes_on_with_the_same_result(tmp_path):
    """The whole story in processes of their own: kill -9 in an epoch, start again, compare."""
    script = tmp_path / "train.py"
    script.write_text(
        textwrap.dedent(f"""
        import os, signal, sys
        sys.path.insert(0, {os.path.dirname(__file__)!r})
        import keras
        import test_training as t
        from course_utils import training
        class Kill(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                self._now = epoch
            def on_train_batch_end(self, batch, logs=None):
                if len(sys.argv) > 2 and self._now == 2 and batch == 1:
                    os.kill(os.getpid(), signal.SIGKILL)
        model = t.build()
        run = t.fit(model, callbacks=[Kill(), t.plateau()], folder=sys.argv[1])
        weights = [float(weight.sum()) for weight in model.get_weights()]
        print(t.json.dumps([run.history, run.reused, weights]))
        """)
    )

    def start(folder, *kill):
        return subprocess.run(
            [sys.executable, script, tmp_path / folder, *kill], capture_output=True, text=True
        )

    killed = start("killed", "kill")
    assert killed.returncode == -signal.SIGKILL
    resumed, whole = start("killed"), start("whole")
    assert resumed.returncode == whole.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout) == json.loads(whole.stdout)


def test_early_stopping_keeps_its_best_weights_over_an_interruption(tmp_path):
    def stopping():
        return keras.callbacks.EarlyStopping(
            monitor="val_loss", patience=1, restore_best_weights=True
        )

    first_model = build(learning_rate=0.5)
    first = fit(first_model, epochs=12, callbacks=[stopping()], folder=tmp_path)
    assert first.epochs < 12
    # As if the process had died between the last epoch and the end of training.
    state = first.path / "state.npz"
    with np.load(state) as saved:
        content = dict(saved)
    record = json.loads(content["record"].tobytes())
    record["finished"] = False
    content["record"] = np.frombuffer(json.dumps(record).encode(), np.uint8)
    np.savez(state, **content)
    again_model = build(learning_rate=0.5)
    again = fit(again_model, epochs=12, callbacks=[stopping()], folder=tmp_path)
    assert again.history == first.history
    assert same_weights(first_model, again_model)


def cut_in_half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def a_bit_flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def replaced_by_text(path):
    path.write_text("<html>Please log in</html>")


def rewritten(path, **changes):
    with np.load(path) as saved:
        content = {key: changes.get(key, saved[key]) for key in saved}
    np.savez(path, **{key: value for key, value in content.items() if value is not None})


def an_array_missing(path):
    rewritten(path, variable_0=None)


def arrays_of_another_model(path):
    rewritten(path, variable_0=np.zeros((2, 2), "float32"))


def another_record(path):
    rewritten(path, record=np.frombuffer(b'{"callbacks": []}', np.uint8))


@pytest.mark.parametrize(
    "damage",
    [
        cut_in_half,
        a_bit_flipped,
        replaced_by_text,
        an_array_missing,
        arrays_of_another_model,
        another_record,
    ],
)
def test_a_damaged_state_is_named_and_leaves_the_model_as_it_was(tmp_path, damage):
    state = fit(build(), folder=tmp_path).path / "state.npz"
    damage(state)
    model, untouched = build(), build()
    with pytest.raises(ValueError, match="remove .*state.npz, and it is trained anew"):
        fit(model, folder=tmp_path)
    assert same_weights(model, untouched)
    state.unlink()
    assert not fit(model, folder=tmp_path).reused


def test_data_order_does_not_depend_on_pythons_global_generator():
    import random

    first_model, second_model = build(), build()
    random.seed(1)
    first = fit(first_model, name="one")
    random.seed(2)
    second = fit(second_model, name="two")
    assert first.history == second.history


def test_a_runs_folder_may_be_moved_without_training_anew(tmp_path, monkeypatch):
    def key(folder, name):
        monkeypatch.setenv("COURSE_RUNS_DIR", str(tmp_path / folder))
        path = training.artifacts_folder() / name
        logs = keras.callbacks.TensorBoard(path.parent / "logs", write_graph=False)
        keep = keras.callbacks.ModelCheckpoint(path, save_best_only=True)
        return fit(build(), epochs=1, callbacks=[keep, logs]).path.name

    assert key("here", "best.keras") == key("there", "best.keras")
    assert key("here", "best.keras") != key("here", "other.keras")


def test_the_first_layer_of_its_kind_gives_the_same_settings_as_later_ones():
    def settings():
        training.seed_everything(0)
        last = [keras.layers.Dense(2, activation="relu"), keras.layers.Activation("softmax")]
        model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), *last])
        model.compile("adam", "sparse_categorical_crossentropy")
        model.optimizer.build(model.trainable_variables)
        return training._settings(model, train_batches(), None, [], 1, 0)

    keras.utils.clear_session()  # begins anew to number layers: this one is called "activation"
    assert settings() == settings()


def test_the_key_of_a_run_is_made_of_these_settings():
    """One more or less would make every trained run on disk unreadable."""
    settings = training._settings(build(), train_batches(), None, [plateau()], 4, 0)
    assert list(settings) == [
        "model",
        "state",
        "train",
        "validation",
        "callbacks",
        "code",
        "epochs",
        "seed",
        "keras",
        "backend",
    ]


def edited(callback, divisor):
    """Return a callback of which an edit is one number in its body."""
    namespace = {"__name__": "__main__", "keras": keras}
    exec(
        f"class Mine(keras.callbacks.{callback}):\n"
        f"    def on_epoch_end(self, epoch, logs=None):\n"
        f"        self.model.optimizer.learning_rate = 0.1 / {divisor}\n",
        namespace,
    )
    return namespace["Mine"]()


def test_an_edited_callback_is_not_the_run_that_was_trained():
    first, again, other = (fit(build(), callbacks=[edited("Callback", n)]) for n in (2, 2, 3))
    assert again.reused and not other.reused
    assert first.history["learning_rate"][-1] == pytest.approx(0.05)
    assert other.history["learning_rate"][-1] == pytest.approx(0.1 / 3)


def test_a_function_that_a_callback_holds_is_part_of_the_run():
    def rate(value):
        return [keras.callbacks.LearningRateScheduler(lambda epoch: value)]

    first, again, other = (fit(build(), callbacks=rate(value)) for value in (0.1, 0.1, 0.2))
    assert again.reused and not other.reused
    assert other.history["learning_rate"][0] == pytest.approx(0.2)
    assert first.history["learning_rate"][0] == pytest.approx(0.1)


def test_a_transform_of_another_strength_is_another_run():
    """Both give the same first batch: none of its 16 images is flipped."""
    weak, none = (
        Batches(IMAGES, LABELS, batch_size=16, normalize=scale, transforms=[flip(probability)])
        for probability in (1e-9, 0.0)
    )
    assert np.array_equal(weak[0][0], none[0][0])
    fit(build(), batches=weak)
    assert not fit(build(), batches=none).reused


def test_a_model_without_weights_is_refused_in_one_sentence():
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2)])
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match="run 'run' is not built.*keras.Input"):
        fit(model)
    model.build((None, 8, 8, 1))
    assert fit(model).epochs == 4


def test_validation_images_are_drawn_from_their_first_epoch_on():
    validation = train_batches(seed=1)
    options = {"name": "run", "epochs": 2, "validation": validation, "progress": None}
    training.fit(build(), train_batches(), **options)
    assert training.fit(build(), train_batches(), **options).reused


def test_progress_leaves_curves_or_a_line_or_nothing(notebook):
    fit(build(), name="nothing", progress=None)
    assert not notebook.shown
    fit(build(), name="a_line", progress="line")
    assert list(notebook.shown[-1]) == ["text/plain"]
    fit(build(), name="a_plot", progress="plot")
    final = notebook.shown[-1]
    assert set(final) == {"text/html", "image/png", "text/plain"}
    assert final["text/plain"].startswith("a_plot: epoch 4/4 · ")
    assert "Learning curves of a_plot" in final["text/plain"]


@pytest.mark.parametrize("progress", ["plot", "line"])
def test_a_run_that_is_read_back_shows_its_final_state(notebook, progress):
    fit(build())
    assert fit(build(), progress=progress).reused
    (shown,) = notebook.shown
    line = shown["text/plain"].splitlines()[0]
    assert line.startswith("run: epoch 4/4 · ") and line.endswith(" · read back")
    assert ("image/png" in shown) is (progress == "plot")


def test_a_run_that_goes_on_shows_all_its_epochs(notebook, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fit_interrupted(build(), StopAfter(2, 0), tmp_path)
    fit(build(), callbacks=[plateau()], folder=tmp_path, progress="plot")
    assert "epoch 4/4" in notebook.shown[-1]["text/plain"]
    assert notebook.shown[0]["text/plain"].startswith("run: epoch 3/4")


def test_the_recorded_full_run_lies_beside_the_own_one(notebook, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_RESULTS_DIR", str(tmp_path))
    curves = {"loss": [2.0, 1.0], "val_loss": [2.0, 1.5]}
    runs = [{"name": "run", "seed": 0, "seconds": 1.0, "history": curves}]
    stamps = {
        "hardware": {"processor": "one", "cores": 2},
        "versions": {"python": "3", "keras": "3"},
        "recorded": "2026-01-01",
    }
    (tmp_path / "01_test.json").write_text(json.dumps({"runs": runs} | stamps))
    fit(build(), name="other", progress="plot")
    assert "recorded" not in notebook.shown[-1]["text/plain"]
    fit(build(), progress="plot")
    assert "recorded train, recorded validation, train" in notebook.shown[-1]["text/plain"]


@pytest.mark.parametrize("progress", [True, False, "bar"])
def test_an_unknown_progress_is_told_in_one_sentence(progress):
    with pytest.raises(
        ValueError, match=rf"^progress is {progress!r}, .* 'plot', 'line' or None\.$"
    ):
        fit(build(), progress=progress)


def test_finished_runs_are_recorded_line_by_line(tmp_path, monkeypatch):
    lines = tmp_path / "runs.jsonl"
    monkeypatch.setenv("COURSE_RECORD", str(lines))
    model = build()
    first = fit(model)
    again = fit(build(), seed=0)
    fit(build(seed=3), seed=3, name="other")
    records = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [(r["name"], r["seed"]) for r in records] == [("run", 0), ("run", 0), ("other", 3)]
    memory = {"peak_memory_mib": records[1]["peak_memory_mib"]}
    before = {"read_back": True, "seconds_before": first.seconds}
    assert again.reused and records[1] == records[0] | before | memory
    assert records[0] == {
        "name": "run",
        "seed": 0,
        "epochs": 4,
        "history": first.history,
        "seconds": first.seconds,
        "seconds_before": 0.0,
        "read_back": False,
        "train_images": 60,
        "validation_images": 20,
        "batch_size": 16,
        "model": "1 Flatten, 2 Dense, 1 Dropout",
        "parameters": model.count_params(),
        "number_format": "float32",
        "optimizer": records[0]["optimizer"],
        "transforms": ["flip", "pad_and_crop"],
        "callbacks": [],
        "settings": records[0]["settings"],
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
        "device": keras.distribution.list_devices()[0],
        "peak_memory_mib": records[0]["peak_memory_mib"],
    }
    assert len(records[0]["settings"]) == 64
    assert records[0]["optimizer"]["name"] == "Adam"
    assert records[0]["optimizer"]["learning_rate"] == pytest.approx(0.01)
    assert first.path.name == f"run-{records[0]['settings'][:12]}"
    assert records[2]["settings"] != records[0]["settings"]


def test_a_crash_while_recording_leaves_whole_lines(tmp_path, monkeypatch):
    lines = tmp_path / "runs.jsonl"
    monkeypatch.setenv("COURSE_RECORD", str(lines))
    fit(build())
    before = lines.read_text()

    def crash(source, target):
        raise OSError("the power is gone")

    with monkeypatch.context() as power:
        power.setattr(os, "replace", crash)
        with pytest.raises(OSError, match="power"):
            records.add_line({"name": "second"})
    assert lines.read_text() == before


def test_an_uncompiled_model_is_refused():
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()])
    with pytest.raises(ValueError, match=r"'run' is not compiled: call model\.compile"):
        fit(model)


def test_zero_epochs_are_refused():
    with pytest.raises(ValueError, match="epochs is 0"):
        fit(build(), epochs=0)


def test_a_results_folder_that_is_a_file_is_named(tmp_path):
    blocked = tmp_path / "results"
    blocked.write_text("keep me")
    with pytest.raises(OSError, match="results folder .* cannot be created .*COURSE_RUNS_DIR"):
        fit(build(), folder=blocked)
    assert blocked.read_text() == "keep me"


def test_a_read_only_results_folder_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(PermissionError, match="cannot be written: set COURSE_RUNS_DIR"):
        fit(build(), folder=tmp_path)


def test_the_record_of_a_run_is_json_with_settings_and_history():
    run = fit(build())
    record = training.load_history(run.path / "run.json")
    assert record["history"] == run.history
    assert record["settings"]["epochs"] == 4
    assert record["name"] == "run"


def test_a_saved_model_predicts_the_same_after_loading(tmp_path):
    model = build()
    path = training.save_model(model, tmp_path / "model.keras")
    loaded = training.load_model(path)
    expected = training.predict(model, IMAGES, scale)
    assert np.array_equal(training.predict(loaded, IMAGES, scale), expected)
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]


def test_a_failed_save_leaves_the_old_model_whole(tmp_path, monkeypatch):
    path = training.save_model(build(), tmp_path / "model.keras")
    before = path.read_bytes()
    model = build(units=3)

    def fail(target):
        target.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(model, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        training.save_model(model, path)
    assert path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]


def test_other_model_suffixes_and_missing_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.keras"):
        training.save_model(build(), tmp_path / "model.h5")
    with pytest.raises(FileNotFoundError, match="There is no model"):
        training.load_model(tmp_path / "model.keras")
    with pytest.raises(FileNotFoundError, match="There is no history"):
        training.load_history(tmp_path / "history.json")


def test_a_damaged_history_is_refused(tmp_path):
    path = tmp_path / "history.json"
    path.write_text('{"loss": [0.1, ')
    with pytest.raises(ValueError, match="is not a history in JSON"):
        training.load_history(path)


def test_prediction_keeps_file_order_whatever_the_batch_size():
    model = build()
    assert np.allclose(
        training.predict(model, IMAGES, scale, batch_size=7),
        training.predict(model, IMAGES, scale, batch_size=60),
        atol=1e-6,
    )


def test_evaluate_returns_loss_and_accuracy():
    model = build()
    scores = training.evaluate(model, validation_batches())
    predicted = training.predict(model, IMAGES[:20], scale).argmax(axis=1)
    assert scores["accuracy"] == pytest.approx((predicted == LABELS[:20]).mean())
    assert set(scores) == {"loss", "accuracy"}


def test_the_interval_of_an_accuracy_is_wilsons():
    low, high = training.accuracy_interval(90, 100)
    z = 1.959963984540054
    center = (0.9 + z * z / 200) / (1 + z * z / 100)
    half = z * np.sqrt(0.9 * 0.1 / 100 + z * z / 40_000) / (1 + z * z / 100)
    assert (low, high) == pytest.approx((center - half, center + half))
    assert training.accuracy_interval(5, 5)[1] == 1.0


@pytest.mark.parametrize(("correct", "total"), [(1, 0), (-1, 5), (6, 5)])
def test_impossible_accuracies_are_refused(correct, total):
    with pytest.raises(ValueError, match=f"{correct} correct of {total} images is impossible"):
        training.accuracy_interval(correct, total)


def test_reported_figures_are_there_for_each_source():
    for source in ("S1", "S2", "S3", "S4", "S5"):
        assert training.reported(source)
    simple = training.reported("S2")["simple"]
    assert len(simple["val_accuracy"]) == simple["epochs"]
    with pytest.raises(ValueError, match="no write-up 'S9'"):
        training.reported("S9")
