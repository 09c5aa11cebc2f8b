import base64
import io
import math
import sys
from itertools import pairwise

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jupyter_client.manager import start_new_kernel
from keras import ops

from course_utils import callbacks, display
from course_utils.callbacks import (
    BatchHistory,
    CyclicLR,
    LearningRateFinder,
    LearningRateTest,
    LiveProgress,
    OneCycle,
    PiecewiseLinear,
    StopAtTarget,
    exponential_average,
)


class Points(keras.utils.PyDataset):
    """Two clouds of points; the last batch is smaller, the order differs from epoch to epoch."""

    def __init__(self, count=44, batch_size=8):
        super().__init__()
        generator = np.random.default_rng(0)
        self.x = generator.normal(size=(count, 4)).astype("float32")
        self.y = (self.x.sum(axis=1) > 0).astype("int64")
        self.batch_size = batch_size
        self.epoch = 0

    def __len__(self):
        return math.ceil(len(self.x) / self.batch_size)

    def __getitem__(self, index):
        order = np.random.default_rng(self.epoch).permutation(len(self.x))
        chosen = order[index * self.batch_size : (index + 1) * self.batch_size]
        return self.x[chosen], self.y[chosen]

    def on_epoch_end(self):
        self.epoch += 1


def small_model(optimizer, *, dropout=0.3, metrics=("accuracy",)):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(8, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(dropout),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=list(metrics))
    return model


def state(model):
    variables = [*model.variables, *model.optimizer.variables]
    return [np.array(ops.convert_to_numpy(v.value)) for v in variables]


def assert_same_state(model, before):
    after = state(model)
    assert len(after) == len(before)
    for one, other in zip(after, before, strict=True):
        np.testing.assert_array_equal(one, other)


# --- Schedules ----------------------------------------------------------------------------------

cyclic_arguments = st.tuples(
    st.floats(0, 0.1), st.floats(0.11, 10), st.integers(1, 500), st.floats(0.9, 1)
)


def reference_cyclic(step, base, maximum, step_size, policy, gamma):
    """The formula of the paper's appendix, in double precision."""
    cycle = math.floor(1 + step / (2 * step_size))
    height = max(0.0, 1 - abs(step / step_size - 2 * cycle + 1))
    scale = {"triangular": 1, "triangular2": 0.5 ** (cycle - 1), "exp_range": gamma**step}[policy]
    return base + (maximum - base) * height * scale


@settings(deadline=None, max_examples=25)
@given(cyclic_arguments, st.sampled_from(["triangular", "triangular2", "exp_range"]))
def test_cyclic_rates_follow_the_formula_of_the_paper(arguments, policy):
    base, maximum, step_size, gamma = arguments
    schedule = CyclicLR(base, maximum, step_size=step_size, policy=policy, gamma=gamma)
    expected = [reference_cyclic(i, *arguments[:3], policy, gamma) for i in range(1000)]
    np.testing.assert_allclose(schedule.values(1000), expected, rtol=2e-4, atol=2e-6 * maximum)


@settings(deadline=None, max_examples=25)
@given(cyclic_arguments)
def test_triangular_is_at_its_base_at_each_cycle_end_and_at_its_maximum_between(arguments):
    base, maximum, step_size, _ = arguments
    rates = CyclicLR(base, maximum, step_size=step_size).values(6 * step_size + 1)
    np.testing.assert_allclose(rates[:: 2 * step_size], base, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(rates[step_size :: 2 * step_size], maximum, rtol=1e-6)


def test_triangular2_halves_the_height_and_exp_range_multiplies_it_by_gamma():
    peaks = np.arange(4) * 20 + 10
    halved = CyclicLR(0.1, 0.9, step_size=10, policy="triangular2").values(80)
    np.testing.assert_allclose(halved[peaks] - 0.1, [0.8, 0.4, 0.2, 0.1], rtol=1e-5)
    shrinking = CyclicLR(0.1, 0.9, step_size=10, policy="exp_range", gamma=0.99).values(80)
    np.testing.assert_allclose(shrinking[peaks] - 0.1, 0.8 * 0.99**peaks, rtol=1e-4)


def test_long_trainings_do_not_drift():
    late = 2 * 7 * 100_000
    assert float(CyclicLR(0.1, 0.9, step_size=7)(late)) == pytest.approx(0.1)
    assert float(CyclicLR(0.1, 0.9, step_size=7)(late + 7)) == pytest.approx(0.9)


def test_custom_scale_functions_get_cycles_from_1_or_batches_from_0():
    by_cycle = CyclicLR(0, 1, step_size=5, scale_function=lambda cycle: 1 / cycle)
    np.testing.assert_allclose(by_cycle.values(30)[5::10], [1, 1 / 2, 1 / 3], rtol=1e-6)
    by_batch = CyclicLR(
        0, 1, step_size=5, scale_function=lambda i: ops.exp(-i / 10), scale_mode="iterations"
    )
    np.testing.assert_allclose(by_batch.values(30)[5::10], np.exp([-0.5, -1.5, -2.5]), rtol=1e-5)


@settings(deadline=None, max_examples=25)
@given(
    st.floats(1e-3, 10),
    st.integers(3, 2000),
    st.floats(0.05, 0.95),
    st.sampled_from(["cosine", "linear"]),
)
def test_one_cycle_follows_its_closed_formula(peak, total_steps, warmup, anneal):
    rates = OneCycle(peak, total_steps=total_steps, warmup_fraction=warmup, anneal=anneal).values(
        total_steps
    )
    passed = np.arange(total_steps) / (total_steps - 1)
    rising = peak / 25 + (peak - peak / 25) * passed / warmup
    share = (passed - warmup) / (1 - warmup)
    shape = (1 + np.cos(np.pi * share)) / 2 if anneal == "cosine" else 1 - share
    falling = peak / 1e4 + (peak - peak / 1e4) * shape
    np.testing.assert_allclose(
        rates, np.where(passed < warmup, rising, falling), rtol=1e-3, atol=peak * 1e-5
    )
    assert rates[0] == pytest.approx(peak / 25)
    assert rates[-1] == pytest.approx(peak / 1e4, abs=peak * 1e-6)


def test_one_cycle_stays_at_its_end():
    rates = OneCycle(1.0, total_steps=10).values(15)
    np.testing.assert_allclose(rates[9:], 1e-4, atol=1e-6)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.integers(1, 50), st.floats(0, 1)), min_size=2, max_size=6))
def test_piecewise_linear_interpolates(points):
    steps = np.cumsum([gap for gap, _ in points]).tolist()
    rates = [rate for _, rate in points]
    expected = np.interp(np.arange(320), steps, rates)
    np.testing.assert_allclose(PiecewiseLinear(steps, rates).values(320), expected, atol=1e-5)


@pytest.mark.parametrize(
    "schedule",
    [
        CyclicLR(0.01, 0.1, step_size=3, policy="exp_range", gamma=0.9),
        CyclicLR(0.01, 0.1, step_size=4, scale_function=lambda cycle: 1 / cycle),
        OneCycle(0.2, total_steps=12),
        PiecewiseLinear([0, 4, 11], [0.0, 0.3, 0.1]),
    ],
    ids=["cyclic", "custom", "one-cycle", "piecewise"],
)
def test_values_are_what_the_optimizer_applied(schedule):
    optimizer = keras.optimizers.SGD(schedule)
    weight = keras.Variable(0.0)
    applied = []
    for _ in range(12):
        before = float(weight.value)
        optimizer.apply([ops.ones(())], [weight])
        applied.append(before - float(weight.value))
    np.testing.assert_allclose(applied, schedule.values(12), rtol=1e-4, atol=1e-6)


@keras.saving.register_keras_serializable(package="test_callbacks")
def inverse(cycle):
    return 1 / cycle


@pytest.mark.parametrize(
    "schedule",
    [
        CyclicLR(0.01, 0.1, step_size=3, policy="triangular2"),
        CyclicLR(0.01, 0.1, step_size=3, scale_function=inverse),
        OneCycle(0.2, total_steps=12, anneal="linear"),
        PiecewiseLinear([0, 4, 11], [0.0, 0.3, 0.1]),
    ],
    ids=["cyclic", "custom", "one-cycle", "piecewise"],
)
def test_schedules_are_saved_with_the_model(schedule, tmp_path):
    model = small_model(keras.optimizers.SGD(schedule))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    model.fit(Points(), epochs=1, verbose=0, shuffle=False)
    loaded_schedule = type(schedule).from_config(schedule.get_config())
    np.testing.assert_array_equal(loaded_schedule.values(20), schedule.values(20))
    assert float(loaded.optimizer.learning_rate) == pytest.approx(float(schedule(0)))


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: CyclicLR(0.1, 0.1, step_size=5), "base=0.1 and maximum=0.1"),
        (lambda: CyclicLR(0.2, 0.1, step_size=5), "0 <= base < maximum"),
        (lambda: CyclicLR(-0.1, 0.1, step_size=5), "base=-0.1"),
        (lambda: CyclicLR(0.1, math.nan, step_size=5), "maximum=nan"),
        (lambda: CyclicLR(0.1, 0.2, step_size=0), "step_size is 0"),
        (lambda: CyclicLR(0.1, 0.2, step_size=2.5), "whole number"),
        (lambda: CyclicLR(0.1, 0.2, step_size=5, gamma=1.1), "gamma is 1.1"),
        (lambda: CyclicLR(0.1, 0.2, step_size=5, gamma=0), "gamma is 0"),
        (lambda: CyclicLR(0.1, 0.2, step_size=5, policy="sawtooth"), "exp_range"),
        (lambda: CyclicLR(0.1, 0.2, step_size=5, scale_mode="epoch"), "iterations"),
        (lambda: OneCycle(-1, total_steps=5), "peak is -1"),
        (lambda: OneCycle(1, total_steps=2), "total_steps is 2"),
        (lambda: OneCycle(1, total_steps=5, warmup_fraction=1), "warmup_fraction is 1"),
        (lambda: OneCycle(1, total_steps=5, end_divisor=0.5), "end_divisor=0.5"),
        (lambda: OneCycle(1, total_steps=5, anneal="step"), "cosine, linear"),
        (lambda: PiecewiseLinear([0, 5, 3], [0, 1, 0]), "sort them"),
        (lambda: PiecewiseLinear([0, 5, 5], [0, 1, 0]), "name none twice"),
        (lambda: PiecewiseLinear([0, 5], [0.1, -0.1]), "finite rates of at least 0"),
        (lambda: PiecewiseLinear([0, 5], [0.1]), "2 steps and 1 rates"),
        (lambda: LearningRateFinder(1, 0.1, steps=20), "must rise"),
        (lambda: LearningRateFinder(0, 1, steps=20), "positive start"),
        (lambda: LearningRateFinder(0.1, 1, steps=9), "steps is 9"),
        (lambda: LearningRateFinder(0.1, 1, steps=20, mode="cubic"), "exponential, linear"),
        (lambda: LearningRateFinder(0.1, 1, steps=20, stop_factor=1), "stop_factor is 1"),
        (lambda: StopAtTarget(0.9, monitor="accuracy"), "training data may not decide"),
        (lambda: StopAtTarget(90), "0.9 for 90 %"),
        (lambda: StopAtTarget(0), "above 0"),
        (lambda: StopAtTarget(-1, monitor="val_loss"), "positive number"),
    ],
)
def test_wrong_arguments_are_refused_in_one_sentence(build, words):
    with pytest.raises(ValueError, match=".") as caught:
        build()
    message = str(caught.value)
    assert words in message
    assert "\n" not in message and message.endswith(".")


# --- Range test ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_range_test_restores_weights_optimizer_and_random_state_bit_for_bit(name):
    optimizer = {
        "SGD": keras.optimizers.SGD(0.05, momentum=0.9),
        "Adam": keras.optimizers.Adam(0.002),
    }[name]
    model = small_model(optimizer)
    batches = Points()
    model.fit(batches, epochs=2, verbose=0, shuffle=False)
    before, epoch = state(model), batches.epoch
    test = LearningRateFinder(1e-4, 0.1, steps=20).run(model, batches)
    assert len(test.rates) == 20
    assert_same_state(model, before)
    assert batches.epoch == epoch


def test_training_after_a_range_test_is_the_training_without_it():
    losses = []
    for with_test in (False, True):
        model, batches = small_model(keras.optimizers.Adam(0.01)), Points()
        if with_test:
            LearningRateFinder(1e-4, 1, steps=15).run(model, batches)
        history = model.fit(batches, epochs=2, verbose=0, shuffle=False).history
        losses.append(history["loss"])
    assert losses[0] == losses[1]


def test_range_test_stops_on_divergence_and_still_restores():
    model = small_model(keras.optimizers.SGD(0.05))
    before = state(model)
    test = LearningRateFinder(1e-3, 1e12, steps=60).run(model, Points())
    assert test.diverged
    assert 5 <= len(test.rates) < 60
    assert np.isfinite(test.losses).all()
    assert_same_state(model, [*before, *state(model)[len(before) :]])
    assert float(model.optimizer.learning_rate) == pytest.approx(0.05)


def test_range_test_restores_after_an_exception():
    class Broken(Points):
        def __getitem__(self, index):
            if index == 3:
                raise RuntimeError("the disk is gone")
            return super().__getitem__(index)

    model = small_model(keras.optimizers.SGD(0.05, momentum=0.9))
    model.fit(Points(), epochs=1, verbose=0, shuffle=False)
    before = state(model)
    with pytest.raises(RuntimeError, match="disk"):
        LearningRateFinder(0.1, 1, steps=20).run(model, Broken())
    assert_same_state(model, before)


def test_range_test_losses_are_those_of_single_batches():
    """Against a loop written by hand; a running mean would lag behind and be caught."""
    batches = Points()
    finder = LearningRateFinder(1e-3, 0.5, steps=10, mode="linear", stop_factor=1e9)
    test = finder.run(small_model(keras.optimizers.SGD(0.1), dropout=0.0), batches)

    model = small_model(keras.optimizers.SGD(0.1), dropout=0.0)
    expected_losses, expected_accuracies = [], []
    for step, rate in enumerate(np.linspace(1e-3, 0.5, 10)):
        if step == len(batches):
            batches.on_epoch_end()
        x, y = batches[step % len(batches)]
        predicted = np.array(model(x, training=True))  # also moves the normalization statistics
        expected_losses.append(-np.log(predicted[np.arange(len(y)), y]).mean())
        expected_accuracies.append((predicted.argmax(axis=1) == y).mean())
        model.optimizer.learning_rate = rate
        model.train_on_batch(x, y)
    np.testing.assert_allclose(test.losses, expected_losses, rtol=1e-4)
    np.testing.assert_allclose(test.accuracies, expected_accuracies, atol=1e-6)
    np.testing.assert_allclose(test.rates, np.linspace(1e-3, 0.5, 10))


def test_range_test_refuses_models_that_are_not_ready():
    finder = LearningRateFinder(1e-3, 1, steps=10)
    with pytest.raises(ValueError, match="schedule"):
        finder.run(small_model(keras.optimizers.SGD(OneCycle(1, total_steps=9))), Points())
    plain = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="not compiled"):
        finder.run(plain, Points())
    unbuilt = keras.Sequential([keras.layers.Dense(2)])
    unbuilt.compile("sgd", "mse")
    with pytest.raises(ValueError, match="no weights yet"):
        finder.run(unbuilt, Points())
    with pytest.raises(ValueError, match="no batches"):
        finder.run(small_model("sgd"), Points(count=0))


def artificial_test(*, diverged=False):
    """A loss that is flat, falls around 1e-3 and explodes above 1e-1."""
    rates = np.geomspace(1e-6, 1, 100)
    losses = 2.3 - 1.5 / (1 + (1e-3 / rates) ** 2) + (rates / 0.2) ** 2
    return LearningRateTest(rates, losses, np.full(100, np.nan), "exponential", diverged)


def test_suggestions_lie_on_the_slope():
    test = artificial_test()
    assert 3e-4 < test.steepest < 1e-2
    assert 1e-5 < test.valley < 1e-2
    bottom = test.rates[np.argmin(test.smoothed)]
    assert test.steepest < bottom and test.valley < bottom


def test_suggestions_ignore_the_way_back_from_a_spike():
    test = artificial_test()
    losses = test.losses.copy()
    losses[90:93] += 50  # one bad batch; the smoothed loss falls steeply afterwards
    spiked = LearningRateTest(test.rates, losses, test.accuracies, "exponential", False)
    assert spiked.steepest == test.steepest and spiked.valley == test.valley


def test_suggestions_exist_when_nothing_was_learned():
    rising = LearningRateTest(
        np.geomspace(1e-3, 1, 10), np.arange(10.0), np.full(10, np.nan), "exponential", False
    )
    assert rising.steepest <= rising.rates[2] and rising.valley <= rising.rates[2]


def test_smoothing_is_the_bias_corrected_exponential_mean():
    values = np.array([4.0, 2.0, 1.0])
    np.testing.assert_allclose(
        exponential_average(values, 0.5), [4, (2 * 2 + 4) / 3, (1 * 4 + 2 * 2 + 4) / 7]
    )
    test = artificial_test()
    assert test.smoothed[0] == pytest.approx(test.losses[0])


@pytest.mark.parametrize("backend", ["bokeh", "matplotlib"])
def test_range_test_draws_itself(backend):
    import holoviews as hv

    hv.render(artificial_test().plot(), backend=backend)
    measured = LearningRateFinder(1e-3, 1, steps=12, mode="linear").run(
        small_model("sgd"), Points()
    )
    plot = measured.plot(title="Mine")
    assert isinstance(plot, hv.Layout) and len(plot) == 2
    hv.render(plot, backend=backend)


# --- Callbacks ----------------------------------------------------------------------------------


def test_batch_history_takes_the_running_mean_apart():
    schedule = OneCycle(0.2, total_steps=12)
    model = small_model(keras.optimizers.SGD(schedule), dropout=0.0)
    record, batches = BatchHistory(), Points()

    class Running(keras.callbacks.Callback):
        values = []

        def on_train_batch_end(self, batch, logs=None):
            self.values.append(float(logs["loss"]))

    history = model.fit(
        batches, epochs=2, verbose=0, shuffle=False, callbacks=[record, Running()]
    ).history
    np.testing.assert_allclose(record.learning_rate, schedule.values(12), rtol=1e-5)
    assert len(record.loss) == len(record.accuracy) == 12

    twin, again = small_model(keras.optimizers.SGD(schedule), dropout=0.0), Points()
    again.epoch = 1  # Keras ends one epoch before the first, after looking at a batch
    alone = []
    for step in range(12):
        if step == len(again):
            again.on_epoch_end()
        twin.reset_metrics()  # which Keras does by itself from 3.15.1 on
        logs = twin.train_on_batch(*again[step % len(again)], return_dict=True)
        alone.append(float(logs["loss"]))
    np.testing.assert_allclose(record.loss, alone, rtol=1e-4)
    assert not np.allclose(Running.values, alone, rtol=1e-2)
    sizes = [8, 8, 8, 8, 8, 4]
    for epoch in range(2):
        mean = np.average(record.accuracy[6 * epoch : 6 * epoch + 6], weights=sizes)
        assert mean == pytest.approx(history["accuracy"][epoch], abs=1e-6)


def test_batch_history_needs_single_batches():
    model = small_model("sgd")
    model.compile("sgd", "sparse_categorical_crossentropy", steps_per_execution=2)
    with pytest.raises(ValueError, match="2 batches in one go"):
        model.fit(Points(), verbose=0, callbacks=[BatchHistory()])


@pytest.mark.parametrize(
    ("callback", "logs", "stops"),
    [
        (StopAtTarget(0.9), {"val_accuracy": 0.9}, True),
        (StopAtTarget(0.9), {"val_accuracy": 0.8999999, "accuracy": 1.0}, False),
        (StopAtTarget(0.5, monitor="val_loss"), {"val_loss": 0.4}, True),
        (StopAtTarget(0.5, monitor="val_loss"), {"val_loss": 0.6}, False),
    ],
)
def test_stop_at_target_compares_without_rounding(callback, logs, stops):
    model = keras.Sequential([keras.Input((1,))])
    model.stop_training = False
    callback.set_model(model)
    callback.on_train_begin()
    callback.on_epoch_end(6, logs)
    assert model.stop_training is stops
    assert callback.reached_epoch == (7 if stops else None)


def test_stop_at_target_names_the_metrics_that_exist():
    model = small_model("sgd")
    with pytest.raises(ValueError, match="only accuracy, loss: pass validation data"):
        model.fit(Points(), verbose=0, callbacks=[StopAtTarget(0.9)])


def test_stop_at_target_ends_a_fit():
    model, batches = small_model("adam"), Points()
    target = StopAtTarget(0.01)
    history = model.fit(
        batches, epochs=5, verbose=0, shuffle=False, validation_data=batches, callbacks=[target]
    )
    assert len(history.epoch) == target.reached_epoch == 1


# --- Live view ----------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    """Time that passes only when told to."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(callbacks, "_clock", clock)
    return clock


def text_of(data):
    return data["text/plain"].splitlines()[0]


def test_a_log_gets_one_line(capsys):
    model, batches = small_model("sgd"), Points()
    model.fit(batches, epochs=3, verbose=0, validation_data=batches, callbacks=[LiveProgress(0)])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("epoch 3/3 · accuracy ")
    assert "validation accuracy" in lines[0]


def test_a_notebook_that_a_program_executes_gets_one_line(notebook, capsys):
    notebook.kernel._allow_stdin = False
    small_model("sgd").fit(Points(), epochs=2, verbose=0, callbacks=[LiveProgress(0)])
    assert not notebook.shown
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_terminal_gets_one_line_that_is_rewritten(monkeypatch, clock):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)

    class Passing(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            clock.now += 1

    small_model("sgd").fit(Points(), epochs=3, verbose=0, callbacks=[Passing(), LiveProgress(6)])
    shown = terminal.getvalue()
    assert shown.count("\n") == 1 and shown.endswith("\n")
    assert shown.count("\r") >= 4
    assert "s left" in shown and shown.split("\r")[-1].startswith("\x1b[Kepoch 3/3")


def train_by_hand(live, clock, *, epochs, steps, seconds_per_batch, validation=True):
    """Call the hooks as Keras does."""
    live.set_params({"epochs": epochs, "steps": steps})
    live.on_train_begin()
    for epoch in range(epochs):
        live.on_epoch_begin(epoch)
        for batch in range(steps):
            live.on_train_batch_begin(batch)
            clock.now += seconds_per_batch
            live.on_train_batch_end(batch, {"loss": 2 / (epoch + 1), "accuracy": 0.5})
        logs = {"loss": 2 / (epoch + 1), "accuracy": 0.5}
        if validation:
            logs |= {"val_loss": 2.5 / (epoch + 1), "val_accuracy": 0.4}
        live.on_epoch_end(epoch, logs)
    live.on_train_end()


def test_the_line_says_where_the_training_is_and_how_long_it_takes(notebook, clock):
    train_by_hand(LiveProgress(1, title="net"), clock, epochs=4, steps=10, seconds_per_batch=0.5)
    lines = [text_of(data) for data in notebook.shown]
    assert lines[0] == "net: epoch 1/4"
    # 12 batches of half a second are done, 28 are left.
    assert "net: epoch 2/4 · batch 2/10 · loss 1 · accuracy 0.5 · about 14 s left" in lines
    assert lines[-1].startswith("net: epoch 4/4 · loss 0.5 · accuracy 0.5 · validation loss 0.625")
    assert lines[-1].endswith("20 s")


@pytest.fixture
def drawn(monkeypatch, clock):
    """What each picture was drawn from; drawing takes `drawn.seconds`."""

    class Drawn(list):
        seconds = 0.001

    drawn = Drawn()
    draw = display.growing_curves

    def spy(curves, **options):
        clock.now += drawn.seconds
        drawn.append({name: list(points) for name, points in curves.items()})
        return draw(curves, **options)

    monkeypatch.setattr(display, "growing_curves", spy)
    return drawn


@pytest.mark.parametrize("seconds", [0.001, 0.03, 0.2])
def test_the_display_takes_less_than_a_fiftieth_of_the_time(notebook, clock, drawn, seconds):
    drawn.seconds = seconds
    began = clock.now
    train_by_hand(LiveProgress(final="line"), clock, epochs=40, steps=10, seconds_per_batch=0.1)
    assert drawn
    assert len(drawn) * seconds < 0.02 * (clock.now - began)


def test_a_training_of_ten_seconds_shows_many_pictures(notebook, clock, drawn):
    train_by_hand(LiveProgress(), clock, epochs=4, steps=10, seconds_per_batch=0.25)
    pictures = {
        data["text/html"].split("base64,")[1]
        for data in notebook.live
        if "<img" in data["text/html"]
    }
    assert len(pictures) >= 8


def test_the_curves_grow_within_and_after_epochs(notebook, clock, drawn):
    train_by_hand(LiveProgress(), clock, epochs=3, steps=10, seconds_per_batch=1)
    assert drawn[-1]["loss"][:2] == [(1, 2), (2, 1)]
    assert drawn[-1]["val_loss"][:2] == [(1, 2.5), (2, 1.25)]
    first_epoch = [curves["running loss"] for curves in drawn if "loss" not in curves]
    assert len(first_epoch) >= 5
    assert all(len(later) > len(earlier) for earlier, later in pairwise(first_epoch))
    second = next(c for c in drawn if len(c.get("loss", ())) == 1 and len(c["running loss"]) > 2)
    assert second["running loss"][0] == (1, 2)  # it goes on where the first epoch ended
    assert second["running loss"][-1][0] > 1


def test_the_plot_stays_below_the_line(notebook, clock):
    recorded = {"loss": [2.0, 1.0, 0.5, 0.2], "accuracy": [0.1, 0.2, 0.3, 0.4]}
    train_by_hand(
        LiveProgress(title="net", recorded=recorded), clock, epochs=2, steps=5, seconds_per_batch=1
    )
    data, metadata = notebook.shown[-1], notebook.metadata[-1]
    assert data["text/html"].index("epoch 2/2") < data["text/html"].index('role="figure"')
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    assert "recorded train" in metadata["image/png"]["alt"]
    assert "Learning curves of net" in data["text/plain"]
    assert text_of(data).startswith("net: epoch 2/2")


def test_matplotlib_throughout_leaves_its_picture_below_the_line(notebook, clock):
    display.extension(backend="matplotlib")
    train_by_hand(LiveProgress(), clock, epochs=2, steps=5, seconds_per_batch=1)
    data = notebook.shown[-1]
    assert "epoch 2/2" in data["text/html"] and "<script" not in data["text/html"]
    assert f"data:image/png;base64,{data['image/png']}" in data["text/html"]


def test_only_the_line_stays_if_asked(notebook, clock):
    train_by_hand(LiveProgress(final="line"), clock, epochs=2, steps=5, seconds_per_batch=1)
    assert any("<img" in data["text/html"] for data in notebook.live)
    assert list(notebook.shown[-1]) == ["text/plain"]
    with pytest.raises(ValueError, match="There is no final 'picture'"):
        LiveProgress(final="picture")


@pytest.mark.parametrize("metrics", [(), ("sparse_categorical_crossentropy",), ("accuracy",)])
@pytest.mark.parametrize("validated", [False, True])
def test_live_progress_takes_any_metrics(notebook, metrics, validated):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=list(metrics))
    live = LiveProgress(0)
    model.fit(
        Points(),
        epochs=2,
        verbose=0,
        validation_data=Points() if validated else None,
        callbacks=[live],
    )
    assert live._progress._metrics() == ["loss", *metrics]
    assert ("val_loss" in live._progress.history) is validated
    words = notebook.shown[-1]["text/plain"]
    assert all(
        f"of {panel.replace('_', ' ')} against epoch" in words for panel in ("loss", *metrics)
    )


def test_gaps_and_values_that_are_no_numbers_leave_the_display_whole(notebook, clock):
    live = LiveProgress()
    live.set_params({"epochs": 6, "steps": None})
    live.on_train_begin()
    for epoch in range(2, 6):  # went on at the third epoch; validated at every second one
        live.on_epoch_begin(epoch)
        live.on_train_batch_begin(0)
        clock.now += 3
        live.on_train_batch_end(0, {"loss": math.nan if epoch == 5 else 1.0})
        live.on_epoch_end(
            epoch,
            {"loss": math.nan if epoch == 5 else 1.0} | ({"val_loss": 1.5} if epoch % 2 else {}),
        )
    live.on_train_end()
    np.testing.assert_equal(live._progress.history["loss"], [math.nan] * 2 + [1.0] * 3 + [math.nan])
    np.testing.assert_equal(
        live._progress.history["val_loss"], [math.nan] * 3 + [1.5, math.nan, 1.5]
    )
    assert "epoch 6/6 · loss nan · validation loss 1.5" in text_of(notebook.shown[-1])
    assert "text/html" in notebook.shown[-1]


def test_live_progress_can_be_used_twice(notebook, clock):
    live = LiveProgress(final="line")
    for _ in range(2):
        train_by_hand(live, clock, epochs=1, steps=5, seconds_per_batch=1)
    assert len(notebook.shown) > 2 and notebook.handles == 2
    assert len(live._progress.history["loss"]) == 1


# --- In a kernel --------------------------------------------------------------------------------

FIT = """
import time, keras, numpy as np
from course_utils import callbacks, dashboards
dashboards.extension()

class Slow(keras.utils.PyDataset):
    def __len__(self):
        return 60
    def __getitem__(self, index):
        time.sleep(0.02)
        return np.ones((4, 3), "float32"), np.ones((4, 1), "float32")

model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
"""
RUN = "model.fit(Slow(), epochs=4, verbose=0, callbacks=[callbacks.LiveProgress(0.1)]);"


@pytest.fixture(scope="module")
def kernel():
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        outputs_of(client, FIT, allow_stdin=True)
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def outputs_of(client, code, *, allow_stdin):
    """Run code; return the (type, content) of all output messages."""
    messages = []
    reply = client.execute_interactive(
        code, allow_stdin=allow_stdin, output_hook=messages.append, timeout=300
    )
    assert reply["content"]["status"] == "ok", reply["content"]
    kinds = ("display_data", "update_display_data", "stream", "execute_result")
    return [(m["msg_type"], m["content"]) for m in messages if m["msg_type"] in kinds]


def test_a_kernel_with_a_reader_sends_growing_curves_and_then_the_plot(kernel):
    outputs = outputs_of(kernel, RUN, allow_stdin=True)
    assert [kind for kind, _ in outputs].count("display_data") == 1
    updates = [content for kind, content in outputs if kind == "update_display_data"]
    assert len(updates) >= 6
    assert len({update["transient"]["display_id"] for update in updates}) == 1
    pictures = {
        update["data"]["text/html"] for update in updates if "<img" in update["data"]["text/html"]
    }
    assert len(pictures) >= 5
    final = updates[-1]
    assert {"text/html", "image/png", "text/plain"} == set(final["data"])
    assert "embed_item" in final["data"]["text/html"]
    assert final["metadata"]["image/png"]["alt"].startswith("Learning curves")


def test_a_kernel_without_a_reader_sends_one_line(kernel):
    outputs = outputs_of(kernel, RUN, allow_stdin=False)
    assert [kind for kind, _ in outputs] == ["stream"]
    assert outputs[0][1]["text"].startswith("epoch 4/4 · loss ")
    assert outputs[0][1]["text"].count("\n") == 1
