"""Learning-rate schedules, the learning-rate range test, and callbacks that watch a training.

A schedule that is known beforehand is a ``LearningRateSchedule``: it runs inside the compiled
training step, costs nothing in Python and is resumed exactly, because the optimizer counts the
steps. Only the range test, which may stop at any batch, sets the rate from outside.
"""

from __future__ import annotations

import base64
import copy
import html
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal, get_args

import keras
import numpy as np
from keras import ops

from course_utils import dashboards, display

Policy = Literal["triangular", "triangular2", "exp_range"]
ScaleMode = Literal["cycle", "iterations"]
Mode = Literal["exponential", "linear"]
Final = Literal["plot", "line"]
History = Mapping[str, Sequence[float]]

MARK_COLORS = ("#D55E00", "#009E73")  # of the two suggestions; color-blind-safe
SMOOTHING = 0.9  # share of the old mean that each new loss leaves in the range test
SHARE = 0.015  # of the time of a training that may go into its display

_clock = time.perf_counter


def exponential_average(values: Sequence[float] | np.ndarray, smoothing: float) -> np.ndarray:
    """Smooth a series by its exponentially weighted mean, free of the pull towards zero.

    Parameters
    ----------
    values : array of float, shape (n,)
        The series.
    smoothing : float
        Weight of the past, from 0 (no smoothing) to below 1.

    Returns
    -------
    np.ndarray
        float64, shape (n,). Entry i uses the entries 0..i only, so features appear a little late.

    References
    ----------
    Kingma and Ba, "Adam: A Method for Stochastic Optimization", arXiv 1412.6980, 2014 (the bias
    correction).
    """
    averages = np.empty(len(values))
    average = 0.0
    for index, value in enumerate(values):
        average = smoothing * average + (1 - smoothing) * value
        averages[index] = average / (1 - smoothing ** (index + 1))
    return averages


# --- Schedules ----------------------------------------------------------------------------------


class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """A learning-rate schedule that can also list its values for a plot."""

    def values(self, steps: int) -> np.ndarray:
        """Return the rates that an optimizer applies in its first steps.

        Parameters
        ----------
        steps : int
            Number of steps (batches).

        Returns
        -------
        np.ndarray
            float32, shape (steps,): the rate of step 0, 1, ... steps - 1.
        """
        rates = ops.convert_to_numpy(self(ops.arange(steps, dtype="int32")))
        return np.array(np.broadcast_to(rates, (steps,)), dtype="float32")


@keras.saving.register_keras_serializable(package="course_utils")
class CyclicLR(Schedule):
    """A rate that climbs from ``base`` to ``maximum`` and returns, again and again.

    Parameters
    ----------
    base : float
        Lowest rate, at the beginning and end of each cycle.
    maximum : float
        Highest rate of the first cycle, above ``base``.
    step_size : int
        Half the length of a cycle, in batches. The paper advises 2 to 10 epochs.
    policy : str
        ``"triangular"``: all cycles alike. ``"triangular2"``: each cycle half as high as the one
        before. ``"exp_range"``: the height shrinks by ``gamma`` with each batch.
    gamma : float
        Factor of ``"exp_range"``, above 0 and at most 1; unused by the others.
    scale_function : callable, optional
        Replaces the policy: maps the cycle (1, 2, ...) or the batch (0, 1, ...), a float32
        tensor, to the height of the triangle as a share of ``maximum - base``. Write it with
        ``keras.ops``; to save a model with it, also register it with
        ``keras.saving.register_keras_serializable``.
    scale_mode : str
        ``"cycle"`` or ``"iterations"``: what ``scale_function`` is given.

    Raises
    ------
    ValueError
        If a bound, the step size, the factor or a name cannot be used.

    References
    ----------
    Smith, "Cyclical Learning Rates for Training Neural Networks", arXiv 1506.01186, 2015.
    """

    def __init__(
        self,
        base: float,
        maximum: float,
        *,
        step_size: int,
        policy: Policy = "triangular",
        gamma: float = 1.0,
        scale_function: Callable[[Any], Any] | None = None,
        scale_mode: ScaleMode = "cycle",
    ) -> None:
        if not 0 <= base < maximum < math.inf:
            raise ValueError(
                f"The bounds are base={base} and maximum={maximum}, but a cycle climbs from a base "
                "of at least 0 to a larger, finite maximum: pass 0 <= base < maximum."
            )
        _check_steps("step_size", step_size, minimum=1)
        _check_name("policy", policy, get_args(Policy))
        _check_name("scale_mode", scale_mode, get_args(ScaleMode))
        if not 0 < gamma <= 1:
            raise ValueError(
                f"gamma is {gamma}, but it multiplies the height at every batch and must not let "
                "it grow or change sign: pass a number above 0 and at most 1."
            )
        self.base = base
        self.maximum = maximum
        self.step_size = step_size
        self.policy = policy
        self.gamma = gamma
        self.scale_function = scale_function
        self.scale_mode = scale_mode

    def __call__(self, step: Any) -> Any:
        """Return the rate of a step (a scalar, or an array of steps for plots)."""
        step = ops.cast(step, "float32")
        cycle = ops.floor(step / (2 * self.step_size))  # 0, 1, ...
        position = ops.mod(step, 2 * self.step_size)  # exact, so that cycles do not drift
        triangle = 1 - ops.abs(position / self.step_size - 1)
        return self.base + (self.maximum - self.base) * triangle * self._scale(cycle, step)

    def _scale(self, cycle: Any, step: Any) -> Any:
        if self.scale_function is not None:
            argument = cycle + 1 if self.scale_mode == "cycle" else step
            return ops.cast(self.scale_function(argument), "float32")
        if self.policy == "triangular2":
            return ops.power(0.5, cycle)
        if self.policy == "exp_range":
            return ops.power(self.gamma, step)
        return 1.0

    def get_config(self) -> dict[str, Any]:
        """Return the arguments, so that Keras can save the schedule with its optimizer."""
        return {
            "base": self.base,
            "maximum": self.maximum,
            "step_size": self.step_size,
            "policy": self.policy,
            "gamma": self.gamma,
            "scale_function": self.scale_function,
            "scale_mode": self.scale_mode,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> CyclicLR:
        """Build the schedule from saved arguments."""
        function = config["scale_function"]
        if isinstance(function, dict):  # as it stands in a saved model
            function = keras.saving.deserialize_keras_object(function)
        return cls(**{**config, "scale_function": function})


@keras.saving.register_keras_serializable(package="course_utils")
class OneCycle(Schedule):
    """One climb to a high rate, then one long descent to almost nothing.

    Parameters
    ----------
    peak : float
        Highest rate.
    total_steps : int
        Batches of the whole training (epochs times batches per epoch), at least 3. Afterwards the
        rate stays at its last value.
    warmup_fraction : float
        Share of the training that climbs, above 0 and below 1. The climb is linear.
    start_divisor, end_divisor : float
        The first rate is ``peak / start_divisor`` and the last one ``peak / end_divisor``.
    anneal : str
        Shape of the descent, ``"cosine"`` or ``"linear"``.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    References
    ----------
    Smith and Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning
    Rates", arXiv 1708.07120, 2017. The cosine descent follows fastai and PyTorch.
    """

    def __init__(
        self,
        peak: float,
        *,
        total_steps: int,
        warmup_fraction: float = 0.3,
        start_divisor: float = 25,
        end_divisor: float = 1e4,
        anneal: Literal["cosine", "linear"] = "cosine",
    ) -> None:
        if not 0 < peak < math.inf:
            raise ValueError(f"peak is {peak}, but a learning rate is positive: pass such a one.")
        _check_steps("total_steps", total_steps, minimum=3)
        if not 0 < warmup_fraction < 1:
            raise ValueError(
                f"warmup_fraction is {warmup_fraction}, but it is the share of the training that "
                "climbs: pass a number above 0 and below 1."
            )
        if not (1 <= start_divisor < math.inf and 1 <= end_divisor < math.inf):
            raise ValueError(
                f"The divisors are start_divisor={start_divisor} and end_divisor={end_divisor}, "
                "but the peak must be the highest rate: pass finite numbers of at least 1."
            )
        _check_name("anneal", anneal, ("cosine", "linear"))
        self.peak = peak
        self.total_steps = total_steps
        self.warmup_fraction = warmup_fraction
        self.start_divisor = start_divisor
        self.end_divisor = end_divisor
        self.anneal = anneal

    def __call__(self, step: Any) -> Any:
        """Return the rate of a step (a scalar, or an array of steps for plots)."""
        start, end = self.peak / self.start_divisor, self.peak / self.end_divisor
        passed = ops.cast(step, "float32") / (self.total_steps - 1)
        climb = ops.clip(passed / self.warmup_fraction, 0.0, 1.0)
        descent = ops.clip((passed - self.warmup_fraction) / (1 - self.warmup_fraction), 0.0, 1.0)
        if self.anneal == "cosine":
            descent = (1 - ops.cos(math.pi * descent)) / 2
        return start + (self.peak - start) * climb - (self.peak - end) * descent

    def get_config(self) -> dict[str, Any]:
        """Return the arguments, so that Keras can save the schedule with its optimizer."""
        return {
            "peak": self.peak,
            "total_steps": self.total_steps,
            "warmup_fraction": self.warmup_fraction,
            "start_divisor": self.start_divisor,
            "end_divisor": self.end_divisor,
            "anneal": self.anneal,
        }


@keras.saving.register_keras_serializable(package="course_utils")
class PiecewiseLinear(Schedule):
    """Straight lines between given points; constant before the first and after the last.

    Parameters
    ----------
    steps : sequence of int
        At which batches the rate is given, from 0 or later, strictly rising, at least two.
    rates : sequence of float
        The rate at each of these batches, none negative.

    Raises
    ------
    ValueError
        If the lengths differ, the steps do not rise or a rate is negative.
    """

    def __init__(self, steps: Sequence[int], rates: Sequence[float]) -> None:
        steps, rates = list(steps), list(rates)
        if len(steps) != len(rates) or len(steps) < 2:
            raise ValueError(
                f"There are {len(steps)} steps and {len(rates)} rates, but every step has one "
                "rate and a line needs two points: pass two lists of equal length, at least 2."
            )
        if steps[0] < 0 or any(later <= earlier for earlier, later in pairwise(steps)):
            raise ValueError(
                f"The steps are {steps}, but time runs forward from 0: sort them and name none "
                "twice."
            )
        if not all(0 <= rate < math.inf for rate in rates):
            raise ValueError(
                f"The rates are {rates}, but a negative or infinite rate would undo what was "
                "learned: pass finite rates of at least 0."
            )
        self.steps = steps
        self.rates = rates

    def __call__(self, step: Any) -> Any:
        """Return the rate of a step (a scalar, or an array of steps for plots)."""
        step = ops.cast(step, "float32")
        rate = ops.zeros_like(step) + self.rates[0]
        for index in range(len(self.steps) - 1):
            length = self.steps[index + 1] - self.steps[index]
            passed = ops.clip((step - self.steps[index]) / length, 0.0, 1.0)
            rate = rate + (self.rates[index + 1] - self.rates[index]) * passed
        return rate

    def get_config(self) -> dict[str, Any]:
        """Return the arguments, so that Keras can save the schedule with its optimizer."""
        return {"steps": self.steps, "rates": self.rates}


# --- Range test ---------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class LearningRateTest:
    """What a learning-rate range test measured; read it in :meth:`plot`.

    Attributes
    ----------
    rates : np.ndarray
        float64, shape (n,): the rate of each batch, rising.
    losses : np.ndarray
        float64, shape (n,): the loss of that batch alone, before the step at that rate.
    accuracies : np.ndarray
        float64, shape (n,), 0 to 1: the accuracy of that batch alone; NaN without such a metric.
    mode : str
        ``"exponential"`` or ``"linear"``: how the rates rise.
    diverged : bool
        True if the test stopped early because the loss exploded.
    """

    rates: np.ndarray
    losses: np.ndarray
    accuracies: np.ndarray
    mode: Mode
    diverged: bool

    @property
    def smoothed(self) -> np.ndarray:
        """The losses smoothed by an exponential mean; float64, shape (n,)."""
        return exponential_average(self.losses, SMOOTHING)

    @property
    def steepest(self) -> float:
        """Suggestion: where the smoothed loss falls fastest, before its lowest value."""
        return float(self.rates[self._steepest_index()])

    @property
    def valley(self) -> float:
        """Suggestion: halfway down the longest fall of the smoothed loss to its lowest value."""
        return float(self.rates[self._valley_index()])

    def _judged(self) -> range:
        """Which batches the suggestions look at: after the first jitter, up to the lowest loss."""
        first = len(self.rates) // 10
        lowest = first + int(np.argmin(self.smoothed[first:]))
        return range(first, max(lowest, first + 1) + 1)

    def _axis(self) -> np.ndarray:
        """Rates as the plot spaces them."""
        return np.log(self.rates) if self.mode == "exponential" else self.rates

    def _steepest_index(self) -> int:
        judged = self._judged()
        slopes = np.gradient(self.smoothed, self._axis())[judged.start : judged.stop]
        return judged.start + int(np.argmin(slopes))

    def _valley_index(self) -> int:
        judged = self._judged()
        losses = self.smoothed[judged.start : judged.stop]
        lengths = np.ones(len(losses), dtype=int)  # of the longest falling subsequence ending here
        starts = np.arange(len(losses))
        for index in range(1, len(losses)):
            higher = np.flatnonzero(losses[:index] > losses[index])
            if higher.size:
                previous = higher[np.argmax(lengths[higher])]
                lengths[index] = lengths[previous] + 1
                starts[index] = starts[previous]
        end = int(np.argmax(lengths))
        return judged.start + (int(starts[end]) + end) // 2

    def plot(self, *, title: str = "Learning-rate range test") -> Any:
        """Draw the loss, and the accuracy if there is one, against the rate.

        Parameters
        ----------
        title : str
            Title of the plot.

        Returns
        -------
        hv.Layout or hv.Overlay
            The loss of each batch (faint), its smoothed course and both suggestions; beside it the
            accuracy in the same way.
        """
        low, high = self.losses.min(), self.losses[: len(self.losses) // 4 + 1].max()
        margin = 0.15 * (high - low) + 1e-3
        limits = (low - margin, high + 2 * margin)
        marks = {"steepest": self._steepest_index(), "valley": self._valley_index()}
        without_accuracy = bool(np.isnan(self.accuracies).all())
        loss_title = title if without_accuracy else "Loss against rate"
        loss = self._panel("loss", self.losses, loss_title, marks=marks, ylim=limits)
        if without_accuracy:
            return loss
        accuracy = self._panel("accuracy", self.accuracies, "Accuracy against rate")
        return dashboards._style(
            (loss + accuracy).cols(2),
            bokeh={"title": title, "shared_axes": False},
            matplotlib={
                "title": title,
                "shared_axes": False,
                "sublabel_format": "",
                "fig_inches": (11, 4),
            },
        )

    def _panel(
        self,
        name: str,
        values: np.ndarray,
        title: str,
        *,
        marks: dict[str, int] | None = None,
        ylim: tuple[float | None, float | None] = (None, None),
    ) -> Any:
        """Draw one measure against the rate, raw and smoothed, with points at some batches."""
        hv = display.load_holoviews()
        smoothed = exponential_average(values, SMOOTHING)
        axes = ["learning_rate", name]
        raw = hv.Curve((self.rates, values), *axes, label="each batch")
        mean = hv.Curve((self.rates, smoothed), *axes, label="smoothed")
        parts = [
            dashboards._style(
                raw,
                bokeh={"color": dashboards.BLUE, "alpha": 0.35},
                matplotlib={"color": dashboards.BLUE, "alpha": 0.35, "linewidth": 0.8},
            ),
            dashboards._style(
                mean,
                bokeh={"color": dashboards.BLUE, "line_width": 2.5, "tools": ["hover"]},
                matplotlib={"color": dashboards.BLUE},
            ),
        ]
        for (mark, index), color in zip((marks or {}).items(), MARK_COLORS, strict=False):
            rate = self.rates[index]
            point = hv.Points([(rate, smoothed[index])], axes, label=f"{mark}: {rate:.2g}")
            parts.append(
                dashboards._style(
                    point,
                    bokeh={"color": color, "size": 11, "tools": ["hover"]},
                    matplotlib={"color": color, "s": 70},
                )
            )
        common = {
            "title": title,
            "xlabel": "learning rate",
            "ylabel": f"{name} of the batch",
            "ylim": ylim,
            "logx": self.mode == "exponential",
            "show_grid": True,
        }
        legend = "bottom_left" if marks else "top_left"
        return dashboards._style(
            hv.Overlay(parts),
            bokeh={**common, "width": 450, "height": 330, "legend_position": legend},
            matplotlib={
                **common,
                "fig_inches": (5.6, 4.1),
                "aspect": 1.36,
                "legend_position": "best",
            },
        )


@dataclass(frozen=True)
class LearningRateFinder:
    """A range test: train for a few batches while the rate rises, and see what the loss does.

    Parameters
    ----------
    start, end : float
        First and last rate, ``start < end``.
    steps : int
        Number of batches, at least 10; about 100 is common practice.
    mode : str
        ``"exponential"`` (equal factors, the practice of fastai) or ``"linear"`` (equal
        differences, as in the paper).
    stop_factor : float
        The test stops early when the smoothed loss exceeds this many times its best value, or is
        no longer a number. Above 1.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    References
    ----------
    Smith, "Cyclical Learning Rates for Training Neural Networks", arXiv 1506.01186, 2015, section
    3.3; Howard and Gugger, "fastai: A Layered API for Deep Learning", arXiv 2002.04688, 2020.
    """

    start: float
    end: float
    steps: int = field(kw_only=True)
    mode: Mode = field(default="exponential", kw_only=True)
    stop_factor: float = field(default=4.0, kw_only=True)

    def __post_init__(self) -> None:
        _check_name("mode", self.mode, get_args(Mode))
        lowest_allowed = self.start > 0 if self.mode == "exponential" else self.start >= 0
        if not (lowest_allowed and self.start < self.end < math.inf):
            raise ValueError(
                f"The range is {self.start} to {self.end}, but the rate must rise from a positive "
                "start (0 is possible in linear mode) to a larger, finite end: swap or change them."
            )
        _check_steps("steps", self.steps, minimum=10)
        if not self.stop_factor > 1:
            raise ValueError(
                f"stop_factor is {self.stop_factor}, but the test stops when the loss is that many "
                "times its best value: pass a number above 1, such as 4."
            )

    @property
    def rates(self) -> np.ndarray:
        """The planned rates; float64, shape (steps,)."""
        space = np.geomspace if self.mode == "exponential" else np.linspace
        return space(self.start, self.end, self.steps)

    def run(self, model: Any, batches: Any) -> LearningRateTest:
        """Run the test and leave the model exactly as it was.

        Parameters
        ----------
        model : keras.Model
            Compiled, with weights. Its optimizer must hold a plain number as its rate.
        batches : keras.utils.PyDataset
            Training batches ``(inputs, targets)``; gone through again if ``steps`` exceed them.

        Returns
        -------
        LearningRateTest
            One entry for each batch before the test ended.

        Raises
        ------
        ValueError
            If the model is not ready, there are no batches, or the loss exploded before there was
            anything to see.

        Notes
        -----
        Weights, batch-normalization statistics, the state of random layers, the optimizer's memory
        and its rate are put back even when the test is interrupted. The order of ``batches`` in a
        later training is not touched: the test works on a shallow copy.
        """
        _check_ready(model)
        if len(batches) == 0:
            raise ValueError("There are no batches to test with: pass at least one image.")
        rates, losses, accuracies, diverged = [], [], [], False
        with _unchanged(model):
            for rate, batch in zip(self.rates, _endless(batches), strict=False):
                model.optimizer.learning_rate = rate
                model.reset_metrics()  # before Keras 3.15 the logs would hold a running mean
                logs = model.train_on_batch(*batch, return_dict=True)
                loss = float(logs["loss"])
                diverged = not math.isfinite(loss)
                if diverged:
                    break
                rates.append(rate)
                losses.append(loss)
                accuracies.append(next((float(logs[k]) for k in logs if "acc" in k), math.nan))
                smoothed = exponential_average(losses, SMOOTHING)
                diverged = bool(smoothed[-1] > self.stop_factor * smoothed.min())
                if diverged:
                    break
        if len(losses) < 5:
            raise ValueError(
                f"The loss exploded after {len(losses)} batches, at a rate of {rate:.2g}: begin "
                f"far below {self.start:.2g}."
            )
        return LearningRateTest(
            np.array(rates), np.array(losses), np.array(accuracies), self.mode, diverged
        )


def _endless(batches: Any) -> Iterator[Any]:
    """Go through the batches for ever, without moving the epoch of the object given."""
    batches = copy.copy(batches)
    while True:
        for index in range(len(batches)):
            yield batches[index]
        batches.on_epoch_end()


def _check_ready(model: Any) -> None:
    if not model.compiled:
        raise ValueError(
            f"The model {model.name!r} is not compiled: call model.compile(...) before the test."
        )
    if not model.built:
        raise ValueError(
            f"The model {model.name!r} has no weights yet: begin it with keras.Input(...), or call "
            "it on a batch before the test."
        )
    try:
        model.optimizer.learning_rate = float(model.optimizer.learning_rate)
    except (TypeError, AttributeError):
        raise ValueError(
            "The optimizer's learning rate is a schedule, which the test cannot override: compile "
            "the model with a plain number, such as learning_rate=0.01, for the test."
        ) from None


@contextmanager
def _unchanged(model: Any) -> Iterator[None]:
    """Put back everything that training changes, whatever happens inside."""
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    variables = [*model.variables, *model.optimizer.variables]
    before = [np.array(ops.convert_to_numpy(variable)) for variable in variables]
    try:
        yield
    finally:
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)
        model.reset_metrics()


# --- Callbacks ----------------------------------------------------------------------------------


class BatchHistory(keras.callbacks.Callback):
    """Record every batch on its own; the logs of Keras are running means of the epoch.

    Attributes
    ----------
    loss, accuracy, learning_rate : list of float
        One entry for each batch: its loss and accuracy before the step, and the step's rate.
        ``accuracy`` stays empty if the model was compiled without a metric of that name.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loss: list[float] = []
        self.accuracy: list[float] = []
        self.learning_rate: list[float] = []
        self._sums: dict[str, tuple[float, float]] = {}

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Begin a new record."""
        if self.model.steps_per_execution != 1:
            raise ValueError(
                f"The model runs {self.model.steps_per_execution} batches in one go, so they "
                "cannot be told apart: compile it with steps_per_execution=1."
            )
        self.loss, self.accuracy, self.learning_rate = [], [], []

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Follow Keras, which starts its means anew."""
        self._sums = {}

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Note the rate that this batch's step will use."""
        self._synchronize()
        self.learning_rate.append(float(ops.convert_to_numpy(self.model.optimizer.learning_rate)))

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Take the epoch's sums before and after this batch apart."""
        self._synchronize()
        for name, values in (("loss", self.loss), ("accuracy", self.accuracy)):
            metric = self._metric(name)
            if metric is not None:
                total, count = float(metric.total), float(metric.count)
                old_total, old_count = self._sums.get(name, (0.0, 0.0))
                values.append((total - old_total) / (count - old_count))
                self._sums[name] = (total, count)

    def _metric(self, name: str) -> Any:
        for metric in self.model.metrics:
            for part in getattr(metric, "metrics", [metric]):
                if part.name == name:
                    return part
        return None

    def _synchronize(self) -> None:
        """On JAX the variables lag behind while an epoch runs."""
        if keras.backend.backend() == "jax":
            self.model.jax_state_sync()


class StopAtTarget(keras.callbacks.Callback):
    """Stop the training once a validation metric is good enough.

    Parameters
    ----------
    target : float
        The value to reach: at least this accuracy, or at most this loss.
    monitor : str
        Name of the metric; it must be one of the validation data.

    Attributes
    ----------
    reached_epoch : int or None
        The epoch, counted from 1, at which the target was reached.

    Raises
    ------
    ValueError
        If the metric is not a validation metric or the target cannot be reached.
    """

    def __init__(self, target: float, *, monitor: str = "val_accuracy") -> None:
        super().__init__()
        if not monitor.startswith("val_"):
            raise ValueError(
                f"monitor is {monitor!r}, but training data may not decide when to stop: pass a "
                "validation metric, such as 'val_accuracy'."
            )
        if "loss" in monitor:
            if not 0 < target < math.inf:
                raise ValueError(
                    f"The target of {monitor} is {target}, but a loss falls towards 0: pass a "
                    "positive number."
                )
        elif not 0 < target <= 1:
            raise ValueError(
                f"The target of {monitor} is {target}, but an accuracy is a share: pass a number "
                "above 0 and at most 1, such as 0.9 for 90 %."
            )
        self.target = target
        self.monitor = monitor
        self.reached_epoch: int | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Forget an earlier training."""
        self.reached_epoch = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Compare the epoch's metric with the target."""
        logs = logs or {}
        if self.monitor not in logs:
            raise ValueError(
                f"There is no metric {self.monitor!r} after the epoch, only "
                f"{', '.join(sorted(logs)) or 'none at all'}: pass validation data and name one "
                "of its metrics."
            )
        value = float(logs[self.monitor])
        reached = value <= self.target if "loss" in self.monitor else value >= self.target
        if reached:
            self.reached_epoch = epoch + 1
            self.model.stop_training = True


class LiveProgress(keras.callbacks.Callback):
    """Show during ``fit`` how far it is and how well it goes.

    In a notebook, one line and a small picture of the curves are replaced in place; at the end the
    line stays, with one interactive plot below it. In a terminal one line is rewritten; where
    nobody looks on (a log file, a notebook that a program executes) one line appears at the end.

    Parameters
    ----------
    every : float
        Least time in seconds between two updates. A slow display stretches it, so that it takes
        less than 2 % of the time.
    final : str
        What stays in a notebook: ``"plot"``, or ``"line"`` for the line alone.
    title : str, optional
        Names the training, in the line and over the plot.
    recorded : mapping of str to sequence of float, optional
        The history of a recorded run, drawn in lighter lines.
    earlier : mapping of str to sequence of float, optional
        The history of the epochs that were trained before this ``fit``.

    Raises
    ------
    ValueError
        If ``final`` is neither ``"plot"`` nor ``"line"``.
    """

    # Keras may call `on_train_batch_end` from a thread of its own, and then need not wait for the
    # device after each batch. That method only takes notes; all else is called from the main one.
    async_safe = True

    def __init__(
        self,
        every: float = 1.0,
        *,
        final: Final = "plot",
        title: str | None = None,
        recorded: History | None = None,
        earlier: History | None = None,
    ) -> None:
        super().__init__()
        _check_name("final", final, get_args(Final))
        self.every = every
        self.final = final
        self.title = title
        self._recorded = recorded
        self._earlier = earlier
        self._progress: _Progress | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Begin an empty display."""
        self._progress = _Progress(
            epochs=self.params["epochs"],
            steps=self.params.get("steps") or 0,
            title=self.title,
            recorded=self._recorded,
            history={name: list(values) for name, values in (self._earlier or {}).items()},
            every=self.every,
        )

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Turn to the next epoch."""
        self._running.begin_epoch(epoch)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Note how far the epoch is."""
        self._running.note(batch, logs or {})

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Refresh the display if it is time."""
        self._running.refresh()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add the epoch to the curves."""
        self._running.end_epoch(logs or {})
        self._running.refresh()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Leave the final state on display."""
        self._running.finish(self.final)

    @property
    def _running(self) -> _Progress:
        assert self._progress is not None, "Keras calls on_train_begin first"
        return self._progress


def show_finished(
    history: History,
    *,
    epochs: int,
    final: Final = "plot",
    title: str | None = None,
    recorded: History | None = None,
) -> None:
    """Show the final state of a training that was done before, as `LiveProgress` would.

    Parameters
    ----------
    history : mapping of str to sequence of float
        One value for each epoch.
    epochs : int
        How many epochs were asked for.
    final, title, recorded
        As for `LiveProgress`.
    """
    curves = {name: list(values) for name, values in history.items()}
    _Progress(epochs=epochs, title=title, recorded=recorded, history=curves).finish(
        final, clock="read back"
    )


@dataclass
class _Progress:
    """How far a training is, and how that is shown."""

    epochs: int
    title: str | None
    recorded: History | None
    history: dict[str, list[float]]
    steps: int = 0
    every: float = 1.0

    epoch: int = 0
    batch: int = 0  # finished in this epoch
    running: dict[str, Any] = field(default_factory=dict)  # means over this epoch's batches
    trails: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.started = self.next = _clock()
        self.pace: tuple[float, float] | None = None  # when the first batch was over, and where
        self.spent = self.cost = 0.0  # seconds, of all updates and of the last one
        self.handle: Any = None

    @property
    def done(self) -> float:
        """Epochs that are done, the present one counted in part."""
        return self.epoch + (min(self.batch / self.steps, 1) if self.steps else 0)

    def begin_epoch(self, epoch: int) -> None:
        self.epoch, self.batch, self.running, self.trails = epoch, 0, {}, {}

    def note(self, batch: int, logs: Mapping[str, Any]) -> None:
        self.batch, self.running = batch + 1, dict(logs)
        if self.pace is None:  # the first batch, which compiles the model, says little
            self.pace = (_clock(), self.done)

    def end_epoch(self, logs: Mapping[str, Any]) -> None:
        for name, value in logs.items():
            values = self.history.setdefault(name, [])
            # An epoch without the metric, or before this `fit`, leaves a gap.
            values += [math.nan] * (self.epoch - len(values)) + [float(value)]
        self.batch, self.running, self.trails = self.steps, dict(logs), {}

    def refresh(self) -> None:
        """Show the present state, if the last time is long enough ago."""
        begin = _clock()
        if begin < self.next:
            return
        whole = begin - self.started + (self._left() or 0.0)  # seconds of the training, about
        if self.spent and self.spent + self.cost > SHARE * whole:
            return
        if display.has_reader():
            self._note_trail()
            self._show(self._live())
        elif sys.stdout.isatty():
            print(f"\r\x1b[K{self.line()}", end="", flush=True)
        self.cost = _clock() - begin
        self.spent += self.cost
        self.next = begin + self.cost + self.every

    def finish(self, final: Final, *, clock: str = "") -> None:
        """Show the final state, for good."""
        if not self.history.get("loss"):
            return
        line = self.line(clock=clock or f"{_clock() - self.started:.0f} s")
        if not display.has_reader():
            start = "\r\x1b[K" if sys.stdout.isatty() else ""
            print(f"{start}{line}", flush=True)
        elif final == "line":
            self._show({"text/plain": line})
        else:
            self._show(*self._final_plot(line))

    def line(self, *, clock: str = "") -> str:
        """Say in one line how far it is; ``clock`` is said instead of the time that is left."""
        parts = []
        if clock:
            values = {name: numbers[-1] for name, numbers in self.history.items()}
            parts.append(f"epoch {len(self.history['loss'])}/{self.epochs}")
        else:
            values = self.running
            parts.append(f"epoch {self.epoch + 1}/{self.epochs}")
            if self.batch:
                parts.append(f"batch {self.batch}" + (f"/{self.steps}" if self.steps else ""))
        parts += [
            f"{name.replace('val_', 'validation ').replace('_', ' ')} {float(value):.4g}"
            for name, value in values.items()
            if name != "learning_rate"
        ]
        left = self._left()
        parts.append(clock or (f"about {left:.0f} s left" if left is not None else ""))
        return (f"{self.title}: " if self.title else "") + " · ".join(filter(None, parts))

    def _left(self) -> float | None:
        """Estimate the seconds that it takes from here; None before there is anything to go by."""
        if self.pace is None or self.done <= self.pace[1]:
            return None
        seconds, epochs = _clock() - self.pace[0], self.done - self.pace[1]
        return seconds / epochs * (self.epochs - self.done)

    def _metrics(self) -> list[str]:
        """Name the panels: the loss, and accuracy or else another metric if there is one."""
        names = [name for name in [*self.history, *self.running] if not name.startswith("val_")]
        others = [name for name in names if name not in ("loss", "learning_rate")]
        others.sort(key=lambda name: "accuracy" not in name)
        return ["loss", *others[:1]]

    def _note_trail(self) -> None:
        """Keep the present means: they grow to a line while an epoch of known length runs."""
        for name, value in self.running.items() if self.steps else ():
            self.trails.setdefault(f"running {name}", []).append((self.done, float(value)))

    def _live(self) -> dict[str, str]:
        """Return the line, and a picture of the curves up to now under it."""
        line = self.line()
        shown = f"<div>{html.escape(line)}</div>"
        if self.running or self.history:
            points = {name: _points(values) for name, values in self.history.items()}
            for name in self.trails:  # from where the last epoch ended
                points[name] = (
                    points.get(name.removeprefix("running "), [])[-1:] + self.trails[name]
                )
            metrics = self._metrics()
            drawing = display.growing_curves(
                points, metrics=metrics, epochs=self.epochs, recorded=self.recorded
            )
            width, height = display.LIVE_SIZE
            shown += (
                f'<img width="{width}" height="{height}" style="max-width: 100%" '
                f'alt="Curves of {" and ".join(metrics)} up to now" src="data:image/svg+xml;base64,'
                f'{base64.b64encode(drawing.encode()).decode("ascii")}">'
            )
        return {"text/html": f'<div class="live-progress">{shown}</div>', "text/plain": line}

    def _final_plot(self, line: str) -> display.Bundle:
        """Return the line with the plot under it, interactive and as a picture."""
        from course_utils import dashboards

        data, metadata = display.bundle(
            dashboards.learning_curves(
                self.history,
                title=f"Learning curves of {self.title}" if self.title else "Learning curves",
                metrics=self._metrics(),
                recorded=self.recorded,
            )
        )
        heading = f"<div>{html.escape(line)}</div>"
        plot = data.get("text/html") or display.picture_html(data, metadata)
        data["text/html"] = f'<div class="live-progress">{heading}{plot}</div>'
        data["text/plain"] = f"{line}\n{data['text/plain']}"
        return data, metadata

    def _show(self, data: dict[str, str], metadata: dict[str, Any] | None = None) -> None:
        from IPython.display import display as show

        if self.handle is None:
            self.handle = show(data, raw=True, metadata=metadata, display_id=True)
        else:
            self.handle.update(data, raw=True, metadata=metadata)


def _points(values: Sequence[float]) -> list[tuple[float, float]]:
    """Return the value of each epoch with its number, from 1; gaps are left out."""
    return [(float(e), v) for e, v in enumerate(values, start=1) if math.isfinite(v)]


def _check_steps(name: str, value: int, *, minimum: int) -> None:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < minimum:
        raise ValueError(
            f"{name} is {value}, but it counts batches: pass a whole number of at least {minimum}."
        )


def _check_name(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ValueError(f"There is no {name} {value!r}: choose one of {', '.join(known)}.")
