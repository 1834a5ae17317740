"""Two modules of somebody's own: convolutions down, maps up, dropout between."""

import torch
from torch import nn


class Encoder(nn.Module):
    def __init__(self, shape, latent, dropout=0.0):
        super().__init__()
        channels, height, width = shape
        self.body = nn.Sequential(
            nn.Conv2d(channels, 6, 3, padding=1), nn.ReLU(), nn.Dropout2d(dropout), nn.GroupNorm(2, 6), nn.Flatten()
        )
        self.mean = nn.Linear(6 * height * width, latent)
        self.log_variance = nn.Linear(6 * height * width, latent)

    def forward(self, x):
        h = self.body(x)
        return self.mean(h), self.log_variance(h)


class Decoder(nn.Module):
    ramp: torch.Tensor

    def __init__(self, outputs, latent, shape, hidden=(7,), dropout=0.0):
        super().__init__()
        _, self.height, self.width = shape
        self.first = nn.Linear(latent, hidden[0] * self.height * self.width)
        self.dropout = nn.Dropout(dropout)
        self.last = nn.Conv2d(hidden[0], outputs // (self.height * self.width), 1)
        self.register_buffer("ramp", torch.linspace(0, 1, self.height * self.width))

    def forward(self, z):
        h = torch.tanh(self.first(z)).view(len(z), -1, self.height, self.width)
        return self.last(self.dropout(h + self.ramp.view(1, 1, self.height, self.width)))
