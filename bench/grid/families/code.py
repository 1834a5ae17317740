"""Code that `vae-bench explain` prints for one's own VAE: it runs as it stands, and tests run it.

A loss, a training loop in plain PyTorch, one in Lightning, and what to change in code that has "MSE + KL".
"""

from __future__ import annotations

import difflib
import math
import textwrap
from collections.abc import Mapping

from bench.grid.families import AS_BY_DEFAULT, Scalar, make, needed_options, registry, views

DIMS, LEVELS, PICTURE = 784, 256, (3, 32, 32)  # of MNIST, whose numbers people have in mind, and in colour of CIFAR-10

_WIDEST = 71  # of a method's lines, which stand 8 columns in, and behind the sign of a diff

#: what there is to print, and what it is
CODES = {
    "loss": "a loss, and the exact bits/dim, in a module of your own",
    "torch": "a whole training loop in plain PyTorch",
    "lightning": "the same in Lightning",
    "change": 'what to change in code that has "MSE + KL"',
}


def dims_of(name: str, told: Mapping[str, Scalar] = AS_BY_DEFAULT) -> int:
    """D of the code: of a picture in colour where the family, its options as told, couples red, green and blue."""
    return math.prod(PICTURE) if make(name, needed_options(name, told)).coupled_channels else DIMS


def code(kind: str, name: str, told: Mapping[str, Scalar] = AS_BY_DEFAULT, objective: str = "") -> str:
    """One of `CODES` for a family or an alias, its options (σ among them) as told or by default, trained on one of its
    objectives.

    Raises ValueError for options that the family does not take, or cannot be trained with.
    """
    own = _Own(name, told, objective)
    return {"loss": own.loss, "torch": own.torch_loop, "lightning": own.lightning, "change": own.change}[kind]()


class _Own:
    """The pieces of somebody's own VAE on one likelihood, as text."""

    def __init__(self, name: str, told: Mapping[str, Scalar], objective: str) -> None:
        catalogue = registry()
        self.family = family = catalogue.get(name)
        alias, plugin = catalogue.ALIASES.get(name), catalogue.plugins().get(name)
        self.levels, given = 2 if family.view == "binary" else LEVELS, needed_options(name, told)
        self.lik = make(name, given, self.levels)
        self.dims = dims_of(name, told)
        if asked := objective or (alias.objective if alias else ""):
            self.lik.require_objective(asked)
        self.binned = asked == "binned"
        self.own_file = plugin.file.name if plugin and not plugin.installed else None
        options = [f"{key}={value!r}".replace("'", '"') for key, value in given.items() if key != "levels"]
        self.options = [f'"{name}"', *options, *(["levels=K"] if family.takes_levels else [])]
        self.options += [f"shape={'(1, 1, D)' if self.dims == DIMS else PICTURE}"] if self.lik.couples_channels else []
        used = given.get("sigma", family.option_defaults().get("sigma"))
        self.starts = used == "shared"  # its σ is learned, and begins somewhere
        self.view = views()[family.view]

    # -- pieces ------------------------------------------------------------------------------------------------------

    def _sizes(self) -> str:
        return f"B, D, Z, K = 100, {self.dims}, 20, {self.levels}  # batch, values an image, latent, levels"

    def _imports(self, *others: str, plain: tuple[str, ...] = ("math",)) -> list[str]:
        last = f"from vae_core import likelihoods{', plugins' if self.own_file else ''}"
        lines = [*(f"import {one}" for one in plain), "", *others, "import torch", "from torch import nn", "", last]
        return [*lines, "", *([f'plugins.register("{self.own_file}")'] if self.own_file else []), self._sizes(), "", ""]

    def _score(self) -> str:
        return "self.lik.log_mass(k, raw, K)" if self.binned else "self.lik(x, raw)"

    def _x(self) -> list[str]:
        return [] if self.binned else [f"# x: {self.view.code_said}", f"x = {self.view.code}"]

    def _likelihood(self) -> list[str]:
        lines = ["# what it learns or fits are this module's parameters and buffers"]
        if self.lik.couples_channels:
            lines.append("# shape: channels, rows, columns of your images")
        options = ", ".join(self.options)
        call = f"self.lik = likelihoods.make({options})"
        inside = [options] if len(options) + 4 <= _WIDEST else [f"{option}," for option in self.options]
        lines += (
            [call] if len(call) <= _WIDEST else ["self.lik = likelihoods.make(", *(f"    {one}" for one in inside), ")"]
        )
        return lines + (["self.lik.initialise(0.3)  # where the learned σ starts"] if self.starts else [])

    def _module(self, base: str) -> list[str]:
        unit = "a number, no likelihood" if self.family.recipe else "nats"
        exact = "as it is scored" if self.family.recipe else "exact"
        methods = {
            "__init__(self)": [
                "super().__init__()",
                *self._likelihood(),
                "self.encoder = nn.Linear(D, 2 * Z)  # your networks",
                f"self.decoder = nn.Linear(Z, self.lik.outputs(D))  # {self.lik.outputs(self.dims)} outputs",
            ],
            "forward(self, k)": [
                '"""Integers k [B, D] in 0..K-1 -> raw outputs [B, R], KL [B]."""',
                "mean, log_variance = self.encoder(k / (K - 1)).chunk(2, dim=-1)",
                "noise = torch.randn_like(mean)",
                "z = mean + torch.exp(0.5 * log_variance) * noise",
                "kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(-1)",
                "return self.decoder(z), kl",
            ],
            "elbo(self, k)": [
                f'"""[B], {unit}."""',
                "raw, kl = self(k)",
                *self._x(),
                f"return {self._score()} - kl",
            ],
            "bits_per_dim(self, k)": [
                f'"""An upper bound, from ln P(k|z), {exact}."""',
                "raw, kl = self(k)",
                "nats = kl - self.lik.log_mass(k, raw, K)",
                "return nats.mean() / (D * math.log(2))",
            ],
        }
        return [f"class VAE({base}):", *_body(methods)]

    _IMAGES = "images = torch.randint(K, (10 * B, D))  # yours: integers 0..K-1"

    # -- what is printed ---------------------------------------------------------------------------------------------

    def loss(self) -> str:
        step = [
            "model = VAE()",
            "optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)",
            "",
            "k = torch.randint(K, (B, D))  # your images: integers 0..K-1",
            "loss = -model.elbo(k).mean()",
            "optimiser.zero_grad()",
            "loss.backward()",
            "optimiser.step()",
        ]
        return _text([*self._imports(), *self._module("nn.Module"), "", "", *step])

    def torch_loop(self) -> str:
        loop = [
            self._IMAGES,
            "train, valid = images[B:], images[:B]",
            "model = VAE()",
            "optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)",
            "for epoch in range(3):",
            "    model.train()",
            "    for k in DataLoader(train, batch_size=B, shuffle=True):",
            "        loss = -model.elbo(k).mean()",
            "        optimiser.zero_grad()",
            "        loss.backward()",
            "        optimiser.step()",
            "    model.eval()",
            "    with torch.no_grad():",
            '        print(f"epoch {epoch}: {model.bits_per_dim(valid):.3f} bits/dim")',
            "",
            'torch.save(model.state_dict(), "vae.pt")  # σ or what else is learned too',
            "again = VAE()",
            'again.load_state_dict(torch.load("vae.pt", weights_only=True))',
            "",
            *self._shown("again(valid[:8])"),
        ]
        imports = _after(self._imports(), "from torch import nn", "from torch.utils.data import DataLoader")
        return _text([*_with_views(imports), *self._module("nn.Module"), "", "", *loop])

    def lightning(self) -> str:
        hooks = {
            "training_step(self, k, index)": [
                "loss = -self.elbo(k).mean()",
                'self.log("loss", loss)',
                "return loss",
            ],
            "validation_step(self, k, index)": ['self.log("bits_per_dim", self.bits_per_dim(k))'],
            "configure_optimizers(self)": ["return torch.optim.Adam(self.parameters(), lr=1e-3)"],
        }
        run = [
            self._IMAGES,
            "train, valid = images[B:], images[:B]",
            "model = VAE()",
            "trainer = lightning.Trainer(",
            "    max_epochs=3,",
            "    num_sanity_val_steps=0,  # before training there is no σ to score with",
            "    log_every_n_steps=1,",
            ")",
            "batches = DataLoader(train, batch_size=B, shuffle=True)",
            "trainer.fit(model, batches, DataLoader(valid, batch_size=B))",
            'trainer.save_checkpoint("vae.ckpt")  # σ or what else is learned too',
            'again = VAE.load_from_checkpoint("vae.ckpt")',
            "",
            *self._shown("again(valid[:8].to(again.device))"),
        ]
        imports = self._imports("import lightning")
        imports = _after(imports, "from torch import nn", "from torch.utils.data import DataLoader")
        module = [*self._module("lightning.LightningModule"), "", *_body(hooks)]
        return _text([*_with_views(imports), *module, "", "", *run])

    def _shown(self, called: str) -> list[str]:
        return [
            f"raw, _ = {called}",
            f"mean = again.lik.mean(raw)  # as the family sees data: {self.family.view}",
            f'grey = VIEWS["{self.family.view}"].to_grey(mean, K)  # in [0, 1], to be shown',
        ]

    def change(self) -> str:
        """A diff whose two sides run."""
        lines = difflib.ndiff(self._before(), self._after())
        return _text([(line[0] + line[2:]).rstrip() for line in lines if line[0] != "?"])

    def _network(self, outputs: str) -> list[str]:
        return ["self.encoder = nn.Linear(D, 2 * Z)", f"self.decoder = nn.Linear(Z, {outputs})"]

    _KL = "kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum()"

    def _encoded(self) -> list[str]:
        return [
            "grey = k / (K - 1)  # in [0, 1]",
            "mean, log_variance = self.encoder(grey).chunk(2, dim=-1)",
            "noise = torch.randn_like(mean)",
            "z = mean + torch.exp(0.5 * log_variance) * noise",
            self._KL,
        ]

    def _used(self) -> list[str]:
        return [
            "",
            "",
            "model = VAE()",
            "optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)",
            "k = torch.randint(K, (B, D))  # your images: integers 0..K-1",
            "loss = model.loss(k)",
        ]

    def _before(self) -> list[str]:
        methods = {
            "__init__(self)": ["super().__init__()", *self._network("D")],
            "loss(self, k)": [
                *self._encoded(),
                'mse = F.mse_loss(self.decoder(z), grey, reduction="sum")',
                "return mse + kl",
            ],
            "picture(self, z)": ["return self.decoder(z)"],
        }
        imports = ["import torch", "import torch.nn.functional as F", "from torch import nn", "", self._sizes(), "", ""]
        return [*imports, "class VAE(nn.Module):", *_body(methods), *self._used()]

    def _after(self) -> list[str]:
        methods = {
            "__init__(self)": ["super().__init__()", *self._likelihood(), *self._network("self.lik.outputs(D)")],
            "loss(self, k)": [
                *self._encoded(),
                "raw = self.decoder(z)",
                *self._x(),
                f"return -{self._score()}.sum() + kl",
            ],
            "picture(self, z)": [
                "mean = self.lik.mean(self.decoder(z))",
                f'return VIEWS["{self.family.view}"].to_grey(mean, K)',
            ],
        }
        imports = _with_views(self._imports(plain=())[1:])
        return [*imports, "class VAE(nn.Module):", *_body(methods), *self._used()]


def _body(methods: Mapping[str, list[str]]) -> list[str]:
    """Methods of a class, by their heads."""
    lines: list[str] = []
    for head, inside in methods.items():
        lines += ["", f"    def {head}:", *(f"        {line}" for line in inside)]
    return lines[1:]


def _after(lines: list[str], which: str, new: str) -> list[str]:
    place = lines.index(which) + 1
    return [*lines[:place], new, *lines[place:]]


def _with_views(lines: list[str]) -> list[str]:
    last = next(line for line in lines if line.startswith("from vae_core import"))
    return _after(lines, last, "from vae_core.data import VIEWS")


def _text(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"


def notes(name: str, width: int) -> str:
    """What is to be known beside the diff of `change`, wrapped."""
    family = registry().get(name)
    start = "Lines with - are what was, with + what is."
    if name not in registry().ALIASES:
        start += f" x is what {name} sees: {views()[family.view].said}."
    if family.recipe:
        end = "Its loss is a number still, no likelihood; lik.log_mass is one, of the distribution it is read as."
        return textwrap.fill(f"{start} {end}", width)
    before = "The sum of squared errors was a Gaussian of σ = 0.71 without its constants (vae-bench explain mse_sum), "
    before += "so losses of before and after have no common unit: hold bits/dim against each other (--code torch)."
    weight = "No weight stands before the KL: what it was tuned for, the likelihood's own width does."
    return textwrap.fill(f"{start} {before} {weight}", width)
