"""A VAE in PyTorch as people write it: a module, a DataLoader, a loop."""

from __future__ import annotations

import math
import time

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from bench.speed.peers.task import BATCH, HIDDEN, LATENT, LEARNING_RATE, Task


class VAE(nn.Module):
    """D-512-20 and back, ReLU, a sigmoid at the end."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(dims, HIDDEN), nn.ReLU())
        self.mean, self.log_variance = nn.Linear(HIDDEN, LATENT), nn.Linear(HIDDEN, LATENT)
        self.decoder = nn.Sequential(nn.Linear(LATENT, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, dims), nn.Sigmoid())

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.encoder(x)
        return self.mean(hidden), self.log_variance(hidden)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = self.encode(x)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        return self.decoder(z), mean, log_variance


def error(loss: str, shown: Tensor, x: Tensor) -> Tensor:
    """Cross-entropy or half the squared error, summed over pixels: [B, D], [B, D] -> [B], nats."""
    if loss == "bce":
        return functional.binary_cross_entropy(shown, x, reduction="none").sum(-1)
    return 0.5 * functional.mse_loss(shown, x, reduction="none").sum(-1)


def losses(model: VAE, loss: str, x: Tensor) -> Tensor:
    """Negative ELBO of each image without its constants, [B, D] -> [B], nats."""
    shown, mean, log_variance = model(x)
    kl = -0.5 * (1 + log_variance - mean.pow(2) - log_variance.exp()).sum(-1)
    return error(loss, shown, x) + kl


class Training:
    """The loop, an epoch at a time."""

    def __init__(self, task: Task) -> None:
        torch.manual_seed(0)
        self.task = task
        self.model = VAE(task.data.dims).to(task.device)
        self.loader = DataLoader(TensorDataset(task.floats(task.data.train)), batch_size=BATCH, shuffle=True)
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=LEARNING_RATE)

    def epoch(self) -> float:
        """Mean loss of the epoch, nats."""
        total = 0.0
        for (x,) in self.loader:
            x = x.to(self.task.device)
            loss = losses(self.model, self.task.loss, x).mean()
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            total += loss.item()
        return total / len(self.loader)

    def images_per_second(self) -> float:
        """One epoch; it ends with `item`, so the device is idle then."""
        started = time.perf_counter()
        self.epoch()
        return len(self.task.data.train) / (time.perf_counter() - started)


@torch.no_grad()
def log_likelihood(model: VAE, loss: str, x: Tensor, samples: int) -> float:
    """Mean importance-weighted bound at L = samples of images x [N, D], one image at a time; nats."""
    total = 0.0
    for image in x:
        mean, log_variance = model.encode(image)
        eps = torch.randn(samples, LATENT, device=x.device)
        z = mean + torch.exp(0.5 * log_variance) * eps
        log_x = -error(loss, model.decoder(z), image.expand(samples, -1))
        if loss == "mse":
            log_x = log_x - 0.5 * len(image) * math.log(2 * math.pi)
        log_prior = -0.5 * z.pow(2).sum(-1)
        log_posterior = -0.5 * (eps.pow(2) + log_variance).sum(-1)
        total += (torch.logsumexp(log_x + log_prior - log_posterior, 0) - math.log(samples)).item()
    return total / len(x)
