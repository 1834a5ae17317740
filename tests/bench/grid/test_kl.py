"""The keys that say what training makes of the KL: axes of every family, in names and labels, of no present cell."""

from __future__ import annotations

import pytest

from bench.grid.cell import OF_KL, Cell, labels
from bench.grid.families import registry
from bench.grid.plan import plan, plan_tuning
from bench.grid.read import parse_grid
from bench.grid.settings import KEYS, GridError

HEAD = '[grid]\nfamily = "gaussian"\nsigma = 0.1\nepochs = 20\n'


def cells_of(text: str) -> tuple[Cell, ...]:
    return parse_grid(text + ("" if "[[cells]]" in text else "\n[[cells]]\n"), "my", "my.toml").cells


def refusal(text: str) -> str:
    with pytest.raises(GridError) as caught:
        cells_of(text)
    said = str(caught.value)
    assert len(said) <= 300
    return said


def test_a_cell_that_leaves_the_kl_as_it_is_keeps_its_names() -> None:
    (plain,) = cells_of(HEAD)
    for asked in ("kl_weight = 1", "kl_weight = 1.0", "kl_warmup = 0", "free_bits = 0.0"):
        (same,) = cells_of(HEAD + asked)
        assert (same.id, same.config, same.training_key, same.kind) == (
            plain.id, plain.config, plain.training_key, plain.kind,
        )  # fmt: skip
    spec = {key: value for key, value in plain.spec.items() if key not in OF_KL}
    assert Cell.of_spec(spec) == plain


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("kl_weight = 0.5", "kl_weight=0.5"),
        ("kl_weight = 4", "kl_weight=4"),
        ("kl_weight = 0", "kl_weight=0"),
        ("kl_warmup = 5", "kl_warmup=5"),
        ("kl_warmup = 0.25", "kl_warmup=0.25"),
        ("free_bits = 0.1", "free_bits=0.1"),
    ],
)
def test_names_and_labels_say_it_though_the_whole_grid_shares_it(asked: str, shown: str) -> None:
    (plain,) = cells_of(HEAD)
    (cell,) = cells_of(HEAD + asked)
    assert shown in cell.id
    assert cell.training_key != plain.training_key
    assert labels([cell])[cell.id] == f"gaussian σ=0.1 {shown}"
    assert labels([plain])[plain.id] == "gaussian σ=0.1"
    beside = labels([plain, cell])
    key = shown.partition("=")[0]
    assert beside[plain.id].endswith(f"{key}={KEYS[key].absent:g}")
    assert beside[cell.id].endswith(shown)
    assert (cell.kind == plain.kind) == (key != "free_bits")  # only free bits cost time


def test_weights_share_a_bundle_as_sigmas_do() -> None:
    cells = cells_of(HEAD + "kl_weight = [0.25, 1, 4]\nkl_warmup = [0, 5]\nfree_bits = [0, 0.1]\nseed = [0, 1]")
    assert len(cells) == 24
    assert [len(bundle.cells) for bundle in plan(cells[:16], "cpu", 1)] == [16]
    tuned = cells_of(HEAD + "kl_weight = [0.25, 1]\n[tune]\nlearning_rate = [1e-3, 1e-2]")
    assert [len(piece.cells) for piece in plan_tuning(tuned, "cpu", 1)] == [2]
    assert len({cell.search for cell in tuned}) == 2


def test_every_family_takes_them() -> None:
    names = [name for name in registry().names() if name != "student_t"]
    text = f"[grid]\nfamily = {names!r}\nkl_weight = [0.5, 1]\nfree_bits = 0.1\nkl_warmup = 0.1\n".replace("'", '"')
    found = cells_of(text)
    assert {(cell.family, cell.kl_weight) for cell in found} == {(name, w) for name in names for w in (0.5, 1.0)}


def test_they_may_be_tuned() -> None:
    (cell,) = cells_of(HEAD + "[tune]\nkl_weight = [0.5, 1, 2]\nkl_warmup = [0, 5]\nfree_bits = [0, 0.1]")
    assert len(cell.candidates) == 12
    settled = cell.settled({"kl_weight": 2.0, "kl_warmup": 5.0, "free_bits": 0.1})
    assert (settled.kl_weight, settled.kl_warmup, settled.free_bits) == (2.0, 5.0, 0.1)


def test_a_weighted_bound_has_no_free_bits() -> None:
    """Of a product it gets those without; where it is asked for nothing else that is said."""
    both = cells_of(HEAD + 'bound = ["elbo", "iwae"]\nfree_bits = [0, 0.5]\ntrain_samples = 2')
    assert [(cell.bound, cell.free_bits) for cell in both] == [("elbo", 0.0), ("elbo", 0.5), ("iwae", 0.0)]
    for asked in ('bound = "iwae"\nfree_bits = 0.5', 'bound = ["elbo", "iwae"]\n[tune]\nfree_bits = [0, 0.5]'):
        said = refusal(HEAD + asked)
        assert 'free_bits = 0.5 are a floor of the KL, which bound = "iwae" does not have' in said
        assert said.endswith('write bound = "elbo", or remove free_bits.')
    assert len(cells_of(HEAD + 'bound = "elbo"\nfree_bits = 0.5')) == 1  # the remedy
    assert len(cells_of(HEAD + 'bound = "iwae"\nkl_weight = 0.5')) == 1


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("kl_weight = -1", "kl_weight = -1, but kl_weight takes a number >= 0"),
        ("kl_weight = nan", "kl_weight = nan, but kl_weight takes a number >= 0"),
        ("kl_weight = inf", "kl_weight = inf, but"),
        ("kl_weight = true", "kl_weight = true, but"),
        ('kl_weight = "1"', 'kl_weight = "1", but'),
        ("kl_weight = []", "kl_weight is an empty list"),
        ("kl_weight = [1, 1.0]", "kl_weight lists 1.0 twice"),
        ("kl_warmup = 2.5", "kl_warmup = 2.5, but kl_warmup takes a whole number of epochs >= 1, or below 1 a share"),
        ("kl_warmup = -0.5", "kl_warmup = -0.5, but"),
        ("free_bits = -0.1", "free_bits = -0.1, but free_bits takes a number of nats a latent dimension >= 0"),
        ("klweight = 2", "did you mean 'kl_weight'?"),
        (
            "kl_warmup = 20",
            "kl_warmup = 20 leaves none of epochs = 20 with the whole weight of the KL; give more epochs",
        ),
        ("kl_warmup = [0, 31]", "kl_warmup = 31 leaves none of epochs = 20"),
        ("[tune]\nkl_warmup = [0, 31]", "kl_warmup = 31 leaves none of epochs = 20"),
        ("kl_warmup = 12\npatience = 8", "patience = 8 begins after kl_warmup = 12, and can never end a training of"),
        ("kl_warmup = 0.75\npatience = 6", "patience = 6 begins after kl_warmup = 0.75, and can never end a"),
    ],
)
def test_what_is_no_number_of_theirs_gets_one_sentence(asked: str, said: str) -> None:
    assert said in refusal(HEAD + asked)


def test_the_remedies_work() -> None:
    for asked in (
        "kl_warmup = 19",
        "kl_warmup = 0.95",
        "kl_warmup = 12\npatience = 7",
        "kl_warmup = 0.7\npatience = 5",
    ):
        assert len(cells_of(HEAD + asked)) == 1
