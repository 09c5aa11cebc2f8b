"""Time per step of airbench94's network in PyTorch, for comparison with the race of notebook 09.

Jordan (2024, "94% on CIFAR-10 in 3.29 seconds on a single GPU", arXiv 2404.00498) publishes two
recipes for 94 % whose training is timed here from the description alone: steps of SGD with Nesterov
momentum on batches of 1,024 for 9.9 epochs, and Muon on batches of 2,000 for 8 epochs. Forward
pass, backward pass and update are timed on random images, because what they show changes no time.
Augmentation is left out, in favor of PyTorch. Nothing is trained.

``benchmarks/racing.py --torch PYTHON`` calls this with a Python that has PyTorch, which the course
itself does not need. It prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import torch
from torch import nn

WIDTHS = (64, 256, 256)
RECIPES = {"SGD": (1024, 9.9), "Muon": (2000, 8.0)}  # batch size, epochs
IMAGES = 50_000


def network() -> nn.Module:
    """Return airbench94's network: fixed 2 x 2 filters, three blocks, a linear layer."""
    first = nn.Conv2d(3, 24, 2)
    first.weight.requires_grad_(False)
    layers: list[nn.Module] = [first, nn.GELU()]
    channels = 24
    for width in WIDTHS:
        layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.MaxPool2d(2)]
        layers += [nn.BatchNorm2d(width), nn.GELU()]
        layers += [nn.Conv2d(width, width, 3, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(width), nn.GELU()]
        channels = width
    layers += [nn.MaxPool2d(3), nn.Flatten(), nn.Linear(channels, 10, bias=False)]
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)


def orthogonalize(momentum: torch.Tensor) -> torch.Tensor:
    """Return nearly the closest orthogonal matrix, by three Newton-Schulz iterations."""
    matrix = momentum.flatten(1)
    matrix = matrix / (matrix.norm() + 1e-7)
    for _ in range(3):
        square = matrix @ matrix.T
        matrix = 3.4445 * matrix + (2.0315 * square @ square - 4.7750 * square) @ matrix
    return matrix.view_as(momentum)


def seconds_per_step(*, batch_size: int, muon: bool, bfloat16: bool, steps: int) -> float:
    """Return the median time of a step in seconds, after two that are not counted."""
    model = network()
    kernels = [p for p in model.parameters() if p.ndim == 4 and p.requires_grad]
    others = [p for p in model.parameters() if p.requires_grad and (p.ndim != 4 or not muon)]
    optimizer = torch.optim.SGD(others, lr=1e-3, momentum=0.85, nesterov=True)
    averages = [torch.zeros_like(kernel) for kernel in kernels]
    images = torch.randn(batch_size, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (batch_size,))
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.2)
    seconds = []
    for _ in range(steps + 2):
        start = time.perf_counter()
        model.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            logits = model(images)
        loss_of(logits.float() / 9, labels).backward()
        optimizer.step()
        if muon:
            with torch.no_grad():
                for kernel, average in zip(kernels, averages, strict=True):
                    average.mul_(0.6).add_(kernel.grad)
                    update = orthogonalize(kernel.grad.add(average, alpha=0.6))
                    kernel.mul_(len(kernel) ** 0.5 / kernel.norm()).add_(update, alpha=-1e-3)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[2:])


def main() -> None:
    """Time both recipes in both number formats and print what the whole training would take."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--steps", type=int, default=5, help="timed steps of each")
    options = parser.parse_args()
    timed = []
    for name, (batch_size, epochs) in RECIPES.items():
        for bfloat16 in (False, True):
            seconds = seconds_per_step(
                batch_size=batch_size, muon=name == "Muon", bfloat16=bfloat16, steps=options.steps
            )
            steps = round(epochs * IMAGES / batch_size)
            timed.append(
                {
                    "optimizer": name,
                    "number_format": "bfloat16" if bfloat16 else "float32",
                    "batch_size": batch_size,
                    "steps": steps,
                    "seconds_per_step": round(seconds, 4),
                    "seconds": round(seconds * steps, 1),
                }
            )
    print(json.dumps({"torch": torch.__version__, "timed": timed}))


if __name__ == "__main__":
    main()
