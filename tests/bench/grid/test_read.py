"""Grid files: what they expand to, and the sentence for everything that is wrong with one."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.grid import settings as settings_module
from bench.grid.cell import WORDED, Cell, labels
from bench.grid.families import make, registry
from bench.grid.read import GridError, describe, find_grid, load_grid, parse_grid, shipped_grids
from bench.grid.settings import Key

SMALL = "[grid]\nfamily = 'gaussian'\nsigma = 0.1\n"


def cells_of(text: str, *overrides: str) -> tuple[Cell, ...]:
    return parse_grid(text, "test", "test.toml", overrides).cells


def toml(tables: dict[str, dict[str, object]]) -> str:
    """JSON's lists, numbers and strings are TOML's too."""
    lines = []
    for header, table in tables.items():
        lines += [header, *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    return "\n".join(lines)


AXES = {
    "sigma": st.lists(
        st.sampled_from([0.01, 0.1, 1.0, "shared", "image", "pixel", "optimal"]), min_size=1, unique=True
    ),
    "train_samples": st.lists(st.integers(1, 50), min_size=1, max_size=3, unique=True),
    "bound": st.lists(st.sampled_from(["elbo", "iwae"]), min_size=1, unique=True),
    "latent": st.lists(st.integers(1, 50), min_size=1, max_size=3, unique=True),
    "hidden": st.lists(st.lists(st.integers(1, 500), min_size=1, max_size=3), min_size=1, max_size=2, unique_by=tuple),
    "activation": st.lists(st.sampled_from(["tanh", "relu", "gelu", "silu"]), min_size=1, max_size=2, unique=True),
    "precision": st.lists(st.sampled_from(["float32", "tf32", "bf16"]), min_size=1, unique=True),
    "seed": st.lists(st.integers(0, 99), min_size=1, max_size=3, unique=True),
}
grids = st.fixed_dictionaries({"family": st.just(["gaussian", "laplace"])}, optional=AXES)


@given(grids, st.data())
def test_cells_are_the_product_less_the_exclusions(axes, data):
    excluded = {
        key: data.draw(st.sampled_from(values))
        for key, values in axes.items()
        if len(values) > 1 and data.draw(st.booleans(), label=f"exclude by {key}")
    }
    tables = {"[grid]": axes} | ({"[[exclude]]": excluded} if excluded else {})
    combinations = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    kept = [c for c in combinations if not excluded or any(c[key] != value for key, value in excluded.items())]
    if not kept:
        with pytest.raises(GridError, match="no cells left"):
            cells_of(toml(tables))
        return
    cells = cells_of(toml(tables))
    assert len(cells) == len(kept)
    assert len({cell.id for cell in cells}) == len(kept)


@pytest.mark.slow
@given(grids, st.randoms())
def test_ids_do_not_depend_on_the_order_of_the_file(axes, random):
    shuffled = {key: random.sample(values, len(values)) for key, values in random.sample(list(axes.items()), len(axes))}
    ids = {cell.id for cell in cells_of(toml({"[grid]": axes}))}
    assert {cell.id for cell in cells_of(toml({"[grid]": shuffled}))} == ids
    in_a_block = toml({"[grid]": {}, "[[cells]]": shuffled})
    assert {cell.id for cell in cells_of(in_a_block)} == ids


@pytest.mark.slow
@given(grids)
def test_names_tell_apart_exactly_what_they_should(axes):
    cells = cells_of(toml({"[grid]": axes}))
    for one, other in itertools.combinations(cells[:40], 2):
        apart = {key for key in one.spec if one.spec[key] != other.spec[key]}
        assert (one.config == other.config) == (apart == {"seed"})
        assert one.training_key != other.training_key
        if one.kind == other.kind:
            assert apart <= {"seed", "options"}
            assert one.sigma_mode == other.sigma_mode


def test_ends_are_an_option_whose_absence_changes_no_name():
    """An axis for the families that take it; the same cells as before where it is not given."""
    cells = cells_of(toml({"[grid]": {"family": ["gaussian", "beta"], "ends": ["open", "renormalised"], "sigma": 0.1}}))
    shown = labels(cells)
    assert [shown[cell.id] for cell in cells] == [
        "gaussian σ=0.1 ends=open",
        "gaussian σ=0.1 ends=renormalised",
        "beta",
    ]
    opened, closed, _ = cells
    assert "ends=renormalised" in closed.id
    assert opened.kind != closed.kind, "they do not run at one speed"
    (plain,) = cells_of(SMALL)
    assert plain.options == {"sigma": 0.1}
    with pytest.raises(GridError, match=r"ends='closed' is unknown \(allowed: open, renormalised\)"):
        cells_of(toml({"[grid]": {"family": "laplace", "ends": "closed"}}))


def test_what_goes_with_data_and_network_is_not_in_labels():
    """Each data set with sizes of its own; what differs on one of them is told, on all."""
    sizes = {"digits": 10, "fashion_mnist": 5}
    blocks = "".join(f"[[cells]]\nfamily = 'beta_binomial'\ndataset = '{k}'\nlatent = {v}\n" for k, v in sizes.items())
    both = "[grid]\nnetwork = ['mlp', 'conv']\n" + blocks
    assert sorted(labels(cells_of(both)).values()) == [
        f"beta_binomial dataset={data} network={network}" for data in sizes for network in ("conv", "mlp")
    ]
    assert set(labels(cells_of(both.replace("latent = 5", "latent = [5, 6]"))).values()) == {
        f"beta_binomial dataset={data} network={network} latent={latent}"
        for data, latent in (("digits", 10), ("fashion_mnist", 5), ("fashion_mnist", 6))
        for network in ("mlp", "conv")
    }
    block = "[[cells]]\nfamily = 'bernoulli'\ndataset = '{}/x.npz'\nlatent = {}\n"
    alike = block.format("a", 1) + block.format("b", 2)
    assert sorted(labels(cells_of(alike)).values()) == ["bernoulli dataset=x latent=1", "bernoulli dataset=x latent=2"]


def test_ids_stay_what_they_were():
    """A changed id would orphan every stored cell; one is not changed by a key that is new (tests of the store)."""
    (cell,) = cells_of(SMALL)
    assert cell.id == "digits-gaussian-sigma=0.1-elbo-L1-s0-be92e2d3"
    cell = cell.but(eval_tolerance=0.0)  # all cells of before it was a key
    assert cell.id == "digits-gaussian-sigma=0.1-elbo-L1-s0-9041c066"
    told = {
        "dataset": "digits",
        "levels": None,
        "family": "gaussian",
        "options": {"sigma": 0.1},
        "scored_as": "itself",
        "view": "real",
        "train_samples": 1,
        "objective": "dequantised",
        "bound": "elbo",
        "network": "mlp",
        "hidden": [200],
        "activation": "tanh",
        "latent": 10,
        "epochs": 50,
        "patience": 0,
        "tolerance": 0.001,
        "averaging": 0.0,
        "batch_size": 100,
        "learning_rate": 0.001,
        "precision": "float32",
        "seed": 0,
        "eval_samples": [1, 10, 100, 1000],
        "eval_tolerance": 0.0,
        "test_images": None,
        "refine": "auto",
        "binarisation": "stochastic",
    }
    assert told.items() <= cell.spec.items()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("sigma=1", "sigma=1.0"),
        ("sigma=0.1", "sigma=1e-1"),
        ("learning_rate=1", "learning_rate=1.0"),
        ("eval_samples=[1, 10]", "eval_samples=[10, 1, 10]"),
        ("eval_samples=7", "eval_samples=[7]"),
        ("hidden=30", "hidden=[30]"),
        ("family=laplace", 'family="laplace"'),
    ],
)
def test_equal_values_are_one_value(one, other):
    assert cells_of(SMALL, one) == cells_of(SMALL, other)


def test_scorings_share_a_training_and_nothing_else():
    cells = cells_of("[grid]\nfamily = 'mse_sum'\n")
    assert [cell.scored_as for cell in cells] == list(registry().get("mse_sum").scorings)
    assert len({cell.training_key for cell in cells}) == 1
    assert len({cell.config for cell in cells}) == len(cells)


def test_sigma_goes_to_the_families_that_take_it():
    cells = cells_of("[grid]\nfamily = ['gaussian', 'bernoulli']\nsigma = [0.1, 'pixel']\n")
    assert [(cell.family, cell.sigma) for cell in cells] == [
        ("gaussian", "0.1"),
        ("gaussian", "pixel"),
        ("bernoulli", ""),
    ]


def test_binarisation_multiplies_the_binary_view_only():
    cells = cells_of("[grid]\nfamily=['bernoulli', 'gaussian']\nbinarisation=['stochastic', 'threshold']\n")
    assert [cell.family for cell in cells] == ["bernoulli", "bernoulli", "gaussian"]


def test_a_block_overrides_the_grid_and_set_overrides_both():
    text = "[grid]\nfamily='bernoulli'\nlatent=3\nepochs=9\n[[cells]]\nlatent=[4, 5]\n"
    assert [(cell.latent, cell.epochs) for cell in cells_of(text)] == [(4, 9), (5, 9)]
    assert [(cell.latent, cell.epochs) for cell in cells_of(text, "latent=6", "epochs=1")] == [(6, 1)]


def test_set_may_make_blocks_equal():
    text = "[grid]\nlatent=3\n[[cells]]\nfamily='bernoulli'\n[[cells]]\nfamily='categorical'\n"
    assert len(cells_of(text, "family=bernoulli")) == 1


def test_labels_are_short_and_name_a_config():
    grid = parse_grid("[grid]\nfamily='gaussian'\nsigma=[0.1, 'shared']\nlatent=[2, 3]\nseed=[0, 1]\n", "t", "t.toml")
    described = describe(grid.cells)
    named = {item.label for item in described.values()}
    assert named == {f"gaussian σ={sigma} latent={latent}" for sigma in ("0.1", "shared") for latent in (2, 3)}


def test_the_precision_in_training_is_in_every_name():
    cells = cells_of(SMALL, 'precision=["float32", "tf32", "bf16"]')
    full, *others = cells
    assert full == cells_of(SMALL)[0], "float32 is what a grid without the key asks for"
    for cell in others:
        assert f"-elbo-L1-{cell.precision}-" in cell.id
        assert f"-elbo-L1-{cell.precision}-" in cell.kind
    for name in ("id", "config", "training_key", "kind"):
        assert len({getattr(cell, name) for cell in cells}) == 3, name
    assert [item.label for item in describe(cells).values()] == [
        f"gaussian σ=0.1 precision={name}" for name in ("float32", "tf32", "bf16")
    ]
    assert [item.label for item in describe(others[1:]).values()] == ["gaussian σ=0.1"]


def test_what_is_made_of_the_data_is_in_its_names():
    cells = cells_of("[grid]\nfamily='categorical'\n", "quantise=[4, 16]", "train_images=[10, 1000]")
    assert [(cell.quantise, cell.train_images) for cell in cells] == [(4, 10), (4, 1000), (16, 10), (16, 1000)]
    for name in ("id", "config", "training_key"):
        assert len({getattr(cell, name) for cell in cells}) == 4, name
    assert len({cell.kind for cell in cells}) == 2, "the number of images changes no speed"
    assert all(f"-quantise={cell.quantise}-" in cell.id for cell in cells)
    assert [cell.data.key for cell in cells][-1] == "digits quantise=16 train_images=1000"
    assert cells[-1].data.made == "quantised to 16 levels, 1,000 training images"
    assert describe(cells)[cells[0].id].label == "categorical quantise=4 train_images=10"
    (whole,) = cells_of("[grid]\nfamily='categorical'\n")
    assert (whole.data.key, whole.data.made) == ("digits", "")
    assert labels([whole, cells[-1]])[whole.id] == "categorical quantise=none train_images=all"
    apart, together = cells_of("[grid]\nfamily='categorical'\ndataset='a.npy'\n", "block=[1, 50]")
    assert (together.data.key, together.data.made) == ("a.npy block=50", "cut in blocks of 50")
    assert apart.id != together.id
    assert apart.kind == together.kind


def test_other_pictures_of_the_data_are_axes_and_told_in_words():
    text = "[grid]\nfamily='categorical'\ndataset='a.npy'\n"
    cells = cells_of(text, "crop=[24, '28x20']", "resize=['14 × 10', 16]", "grey=[false, true]")
    assert {cell.crop for cell in cells} == {"24x24", "28x20"}
    assert {cell.resize for cell in cells} == {"14x10", "16x16"}
    assert len({cell.id for cell in cells}) == len({cell.kind for cell in cells}) == 8
    by_data = {cell.data.key: cell.data.made for cell in cells}
    assert by_data["a.npy crop=24x24 resize=14x10"] == "cropped to 24×24, resized to 14×10"
    assert by_data["a.npy crop=28x20 resize=16x16 grey=true"] == "cropped to 28×20, resized to 16×16, in grey"
    assert describe(cells)[cells[-1].id].label == "categorical crop=28x20 resize=16x16 grey=true"
    (same,) = cells_of(text, "crop='24x24'", "grey=false")
    (whole,) = cells_of(text, "crop=24")
    assert same.id == whole.id, "24 is 24x24, and false is what every cell had"
    small, large = cells_of("[grid]\nfamily='categorical'\ndataset='patches'\n", "patch_size=[8, 16]")
    assert (small.data.key, large.data.made) == ("patches patch_size=8", "patches of 16×16")
    assert small.kind != large.kind


def test_set_epochs_leaves_out_a_patience_of_the_file_that_has_no_room():
    text = "[grid]\nfamily='bernoulli'\nepochs=600\npatience=50\n"
    short = parse_grid(text, "t", "t.toml", ["epochs=20"])
    assert [(cell.epochs, cell.patience) for cell in short.cells] == [(20, 0)]
    (note,) = short.notes
    assert note.startswith("--set epochs=20 leaves no room for the grid's patience of 50 epochs")
    assert short.cells == parse_grid(text, "t", "t.toml", ["epochs=20", "patience=0"]).cells
    roomy = parse_grid(text, "t", "t.toml", ["epochs=51"])
    assert ([cell.patience for cell in roomy.cells], roomy.notes) == ([50], ())
    for overrides in (["patience=600"], ["epochs=20", "patience=50"]):
        with pytest.raises(GridError, match="can never end a training"):
            parse_grid(text, "t", "t.toml", overrides)
    with pytest.raises(GridError, match=r"^t.toml, \[grid\]: patience = 50 can never end a training of epochs = 50"):
        parse_grid(text.replace("600", "50"), "t", "t.toml")


def test_a_tolerance_that_ends_nothing_is_refused_and_its_advice_works():
    text = "[grid]\nfamily='bernoulli'\nepochs=60\ntolerance=0.01\n"
    with pytest.raises(
        GridError, match=r"^t.toml, \[grid\]: tolerance = 0.01 ends no training where patience is 0; give"
    ):
        parse_grid(text, "t", "t.toml")
    assert parse_grid(text + "patience=20\n", "t", "t.toml").cells[0].tolerance == 0.01
    short = parse_grid(text + "patience=20\n", "t", "t.toml", ["epochs=20"])
    assert (short.cells[0].patience, len(short.notes)) == (0, 1)


def test_only_the_blocks_without_room_lose_their_patience():
    text = (
        "[[cells]]\nfamily='bernoulli'\nepochs=9\npatience=5\n[[cells]]\nfamily='categorical'\nepochs=99\npatience=30\n"
    )
    grid = parse_grid(text, "t", "t.toml", ["epochs=20"])
    assert [(cell.epochs, cell.patience) for cell in grid.cells] == [(20, 5), (20, 0)]
    assert len(grid.notes) == 1


def test_a_grid_takes_the_precisions_that_training_has():
    from vae_core.numerics.precision import PRODUCTS

    assert [cell.precision for cell in cells_of(SMALL, f"precision={json.dumps(list(PRODUCTS))}")] == list(PRODUCTS)


@pytest.mark.parametrize("name", sorted(shipped_grids()))
def test_shipped_grids_are_valid_and_say_what_they_are_for(name):
    grid = load_grid(find_grid(name))
    assert len({cell.id for cell in grid.cells}) == len(grid.cells)
    labels = {described.label: described.cell.config for described in describe(grid.cells).values()}
    assert len(labels) == len({cell.config for cell in grid.cells}), "two configurations have one label"
    assert 20 <= len(grid.about) <= 200


def test_the_default_grid_is_as_large_as_promised():
    cells = load_grid(find_grid("digits")).cells
    assert 12 <= len({cell.search for cell in cells}) <= 14
    assert all(max(cell.eval_samples) >= 1000 for cell in cells)
    assert all(len(cell.candidates) == 4 and 0 < cell.patience < cell.epochs for cell in cells)
    densities: dict[tuple[str, str], set[str]]
    densities = {(cell.family, cell.sigma): set() for cell in cells if cell.objective != "own"}
    for cell in cells:
        densities.get((cell.family, cell.sigma), set()).add(cell.objective)
    assert all(trained == {"dequantised", "binned"} for trained in densities.values()), "a density lacks its twin"
    assert {"binary", "real", "unit", "levels", "grey"} <= {cell.view for cell in cells}
    assert {cell.seed for cell in cells} == {0, 1, 2}


# -- what can be trained on a density's own bins -----------------------------------------------------------------------


def labelled(text: str, *overrides: str) -> list[str]:
    return [item.label for item in describe(cells_of(text, *overrides)).values()]


def test_densities_of_a_mixed_block_are_trained_both_ways_and_the_rest_one_way():
    families = "family=['gaussian', 'categorical', 'mse_sum']\nsigma=[0.1, 'optimal']\n"
    text = f"[grid]\n{families}objective=['dequantised', 'binned']\n"
    assert labelled(text) == [
        "gaussian σ=0.1",
        "gaussian σ=0.1 binned",
        "gaussian σ=optimal",
        "categorical",
        *(f"mse_sum ({how.replace('_', ' ')})" for how in registry().get("mse_sum").scorings),
    ]
    assert len({cell.id for cell in cells_of(text)}) == 4 + 9
    first, second, *_ = cells_of(text)
    assert first.kind != second.kind, "trained on its bins a family runs at another speed"


@pytest.mark.parametrize("family", registry().names())
def test_every_family_is_trained_on_bins_where_training_takes_it(family):
    """What the grid keeps is what vae_core.training takes."""
    from vae_core.training import Member

    others = "" if family == "gaussian" else "'gaussian', "
    cells = cells_of(f"[grid]\nfamily=[{others}'{family}']\nobjective=['dequantised', 'binned']\n")
    for cell in cells:
        Member(make(cell.family, cell.options), cell.objective, cell.bound)
    kept = any((cell.family, cell.objective) == (family, "binned") for cell in cells)
    if not kept:
        with pytest.raises(ValueError, match="cannot be trained on 'binned'"):
            Member(make(family, {}), "binned")


@pytest.mark.parametrize(
    ("block", "sentence"),
    [
        (
            "family=['gaussian', 'categorical']\nobjective='binned'",
            r'family = "categorical" is left without a cell: .*mass.*; write objective = \["binned", "own"\]\.$',
        ),
        ("family=['gaussian', 'bce_sum']\nobjective='binned'", 'family = "bce_sum" is left without a cell: .*recipe'),
        (
            "family=['gaussian', 'bce_sum']\nobjective='own'",
            r'family = "gaussian" is left without a cell: .*density.*; write objective = \["own", "dequantised"\]\.$',
        ),
        (
            "family=['categorical', 'bce_sum']\nobjective=['dequantised', 'binned']",
            'objective = "binned" is left without a cell: categorical cannot be trained on .*; remove it',
        ),
        (
            "family='gaussian'\nsigma=['shared', 'optimal']\nobjective='binned'",
            'sigma = "optimal" is left without a cell: .*; remove it, or write objective = ',
        ),
        (
            "family=['gaussian', 'discretised_logistic']\nobjective='dequantised'",
            "family = \"discretised_logistic\" is left without a cell: .* is logistic trained on 'binned'; write ",
        ),
    ],
)
def test_a_value_that_could_never_be_trained_is_an_error(block, sentence):
    with pytest.raises(GridError, match=rf"^test.toml, \[\[cells\]\] 2: {sentence}"):
        cells_of(f"[[cells]]\nfamily='bernoulli'\n[[cells]]\n{block}\n")


@pytest.mark.parametrize(
    ("families", "objective", "instead"),
    [
        ("['gaussian', 'categorical']", "'binned'", "['binned', 'own']"),
        ("['gaussian', 'categorical']", "'own'", "['own', 'dequantised']"),
        ("['gaussian', 'discretised_logistic']", "'dequantised'", "['dequantised', 'binned']"),
        ("'categorical'", "'binned'", "'own'"),
    ],
)
def test_what_the_error_says_to_write_is_taken(families, objective, instead):
    with pytest.raises(GridError) as caught:
        cells_of(f"[grid]\nfamily={families}\nobjective={objective}\n")
    assert str(caught.value).replace('"', "'").endswith(f"; write objective = {instead}.")
    assert cells_of(f"[grid]\nfamily={families}\nobjective={instead}\n")


def test_objective_and_bound_are_two_axes():
    text = "[grid]\nfamily=['gaussian', 'categorical']\nsigma='pixel'\ntrain_samples=5\n"
    both = "objective=['dequantised', 'binned', 'own']\nbound=['elbo', 'iwae']\n"
    assert labelled(text + both) == [
        "gaussian σ=pixel L=5",
        "gaussian σ=pixel iwae L=5",
        "gaussian σ=pixel binned L=5",
        "gaussian σ=pixel binned iwae L=5",
        "categorical L=5",
        "categorical iwae L=5",
    ]
    assert [cell.objective for cell in cells_of(text)] == ["dequantised", "own"]
    last = cells_of(text + both)[3]
    assert "-binned-iwae-L5-" in last.id
    assert "-binned-iwae-L5-" in last.kind


def test_what_a_family_implies_is_in_no_name():
    """Cells of a mass have the names that they had when nothing was said of it."""
    (cell,) = cells_of("[grid]\nfamily='bernoulli'\neval_tolerance=0\n")
    assert cell.objective == "own"
    assert cell.id == "digits-bernoulli-elbo-L1-s0-f31667e7"


def test_the_discretised_logistic_is_the_logistic_trained_on_its_bins():
    (cell,) = cells_of("[grid]\nfamily='discretised_logistic'\nsigma=0.1\n")
    assert cell == cells_of("[grid]\nfamily='logistic'\nsigma=0.1\nobjective='binned'\n")[0]
    assert labelled("[grid]\nfamily='discretised_logistic'\nsigma=0.1\n") == ["logistic σ=0.1 binned"]
    both = "[grid]\nfamily=['logistic', 'discretised_logistic']\nsigma=0.1\n"
    assert labelled(both) == ["logistic σ=0.1", "logistic σ=0.1 binned"]
    assert labelled(both, "objective=['dequantised', 'binned']") == ["logistic σ=0.1", "logistic σ=0.1 binned"]
    assert labelled(both + "[[exclude]]\nfamily='discretised_logistic'\n") == ["logistic σ=0.1"]


WRONG = {
    "family = 'gausian'": r"unknown family 'gausian' \(did you mean 'gaussian'\?",
    "family = 3": "family = 3, but family takes the name of a family",
    "latent = 0": "latent = 0, but latent takes a whole number >= 1",
    "latent = 2.5": "latent = 2.5, but",
    "latent = true": "latent = true, but",
    "latent = [2, 'x']": 'latent = "x", but',
    "latent = []": "latent is an empty list",
    "latent = [2, 2]": "latent lists 2 twice",
    "sigma = [1, 1.0]": "sigma lists 1.0 twice",
    "train_samples = 0": "train_samples = 0, but train_samples takes a whole number >= 1",
    "eval_samples = [0, 10]": r"eval_samples = \[0, 10\], but eval_samples takes a list of whole numbers >= 1",
    "eval_samples = []": r"eval_samples = \[\], but",
    "hidden = [200, 0]": r"hidden = \[200, 0\], but hidden takes a list of layer widths",
    "hidden = 'wide'": "but hidden takes a list of layer widths",
    "objective = 'dequantized'": r"objective takes one of dequantised, binned, own \(did you mean 'dequantised'\?\)",
    "objective = 3": "objective takes one of dequantised, binned, own",
    "objective = ['dequantised', 'iwae']": 'objective = "iwae", but objective takes one of dequantised, binned, own',
    "bound = 'ebo'": r"bound takes one of elbo, iwae \(did you mean 'elbo'\?\)",
    "bound = 'binned'": "bound takes one of elbo, iwae",
    "objective = 'bined'": r"did you mean 'binned'\?",
    "activation = 'rellu'": r"tanh, relu, gelu, sigmoid, softplus, silu \(did you mean 'relu'\?\)",
    "learning_rate = 0": "learning_rate = 0, but learning_rate takes a number > 0",
    "learning_rate = inf": "learning_rate = inf, but",
    "learning_rate = nan": "learning_rate = nan, but",
    "seed = -1": "seed = -1, but seed takes a whole number >= 0",
    "test_images = 0": "test_images = 0, but",
    "quantise = 1": "quantise = 1, but quantise takes a whole number of levels >= 2",
    "quantise = 'coarse'": 'quantise = "coarse", but quantise takes a whole number of levels >= 2',
    "crop = 0": 'crop = 0, but crop takes a whole number of pixels >= 1 a side of the middle, or rows .* "28x20"',
    "crop = [[24, 20]]": "but crop takes a whole number of pixels",
    "crop = true": "crop = true, but crop takes",
    "resize = '24x'": 'resize = "24x", but resize takes a whole number of pixels >= 1 a side, or rows and columns as',
    "resize = 0.5": "resize = 0.5, but resize takes",
    "grey = 'yes'": r'grey = "yes", but grey takes true \(for images in colour\) or false',
    "grey = 1": "grey = 1, but grey takes true",
    "patch_size = 0": "patch_size = 0, but patch_size takes a whole number of pixels >= 1",
    "block = 0": "block = 0, but block takes a whole number >= 1 of consecutive images",
    "train_images = 0": "train_images = 0, but train_images takes a whole number >= 1",
    "levels = 1": "levels = 1, but levels takes a whole number >= 2",
    "precision = 'bf32'": '"float32", "tf32" or "bf16"',
    "precision = 'bfloat'": r"precision takes .*\(did you mean 'float32'\?\)",
    "precision = 16": "precision = 16, but precision takes",
    "binarisation = 'random'": 'binarisation takes "stochastic" or "threshold"',
    "dataset = ''": 'dataset = "", but',
    "sigma = 0": "sigma.*0.*> 0",
    "sigma = -1.5": "sigma.*-1.5.*> 0",
    "sigma = nan": "sigma = nan, but sigma takes a finite number",
    "sigma = inf": "sigma = inf, but sigma takes a finite number",
    "sigma = true": "sigma.*True",
    "sigma = 'pixl'": "sigma.*pixl.*pixel",
    "sigma = []": "sigma is an empty list",
    "sigma = [[0.1]]": "an option takes a number, a word",
    "sigma = 1979-05-27": "an option takes a number, a word",
    "sigm = 1": r"unknown key 'sigm' \(did you mean 'sigma'\?",
    "epoch = 1": r"unknown key 'epoch' \(did you mean 'epochs'\?",
    "zzz = 1": r"unknown key 'zzz' \(allowed: dataset, levels, quantise",
    "latent = = 3": "not valid TOML.*line",
}


@pytest.mark.parametrize("line", WRONG)
@pytest.mark.parametrize("place", ["[grid]", "[[cells]]"])
def test_a_wrong_line_is_named_in_one_sentence(line, place):
    lines = [place, "family = 'gaussian'", line]
    if line.startswith("family"):
        del lines[1]
    with pytest.raises(GridError, match=WRONG[line]) as caught:
        cells_of("\n".join(lines))
    assert str(caught.value).startswith("test.toml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("line", [line for line in WRONG if not line.endswith("= = 3")])
def test_a_wrong_override_is_named_in_one_sentence(line):
    with pytest.raises(GridError, match=WRONG[line]) as caught:
        cells_of(SMALL, line)
    assert "--set" in str(caught.value) or "test.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("epochs = 3\n" + SMALL, "'epochs' stands at the top, but belongs under"),
        (SMALL + "[cell]\nlatent = 3\n", r"unknown section 'cell' \(did you mean 'cells'\?"),
        (SMALL + "[cells]\nlatent = 3\n", r"write \[\[cells\]\] in double brackets"),
        ("grid = 3", r"write \[grid\] as a table"),
        ("about = 3\n" + SMALL, "about takes a text"),
        ("", "the key 'family' is missing"),
        (
            SMALL + "[[cells]]\nlatent=3\n[[cells]]\nlatent=[3, 4]\n",
            r"\[\[cells\]\] 2: gives the cell .* \[\[cells\]\] 1",
        ),
        (SMALL + "[[exclude]]\nfamily='gaussian'\n", "no cells left"),
        (SMALL + "[[exclude]]\n", "would drop every cell"),
        (SMALL + "[[exclude]]\nfamly='gaussian'\n", "unknown key 'famly'"),
        (SMALL + "[[exclude]]\nfamily='gausian'\n", "unknown family 'gausian'"),
        (SMALL + "[[exclude]]\nview='rael'\n", 'view = "rael", but view takes binary, grey, levels, real, unit'),
        ("[grid]\nfamily='bernoulli'\nsigma=1\n", "sigma is no option of bernoulli; remove it, or add a family"),
        (SMALL + "[[cells]]\nfamily='bernoulli'\nsigma=1\n", "sigma is no option of bernoulli"),
    ],
)
def test_a_wrong_file_is_named_in_one_sentence(text, sentence):
    with pytest.raises(GridError, match=sentence) as caught:
        cells_of(text)
    assert "test.toml" in str(caught.value)


@pytest.mark.parametrize("override", ["epochs", "=3", "epochs=", "sigma=[0.1, shared]", "epochs=1\nlatent=2"])
def test_an_override_that_is_no_override(override):
    with pytest.raises(GridError, match=r"--set"):
        cells_of(SMALL, override)


def test_a_file_that_cannot_be_read(tmp_path: Path):
    broken = tmp_path / "broken.toml"
    broken.write_bytes(b"\xff\xfe")
    with pytest.raises(GridError, match=r"broken\.toml cannot be read"):
        load_grid(broken)
    with pytest.raises(GridError, match=r"there is no grid file .*none\.toml"):
        find_grid(str(tmp_path / "none.toml"))
    with pytest.raises(GridError, match=r"unknown grid 'digts' \(did you mean 'digits'\?"):
        find_grid("digts")


def test_a_new_key_changes_no_name(monkeypatch):
    """As long as a cell has of it what cells had before it existed."""
    (before,) = cells_of(SMALL)

    class WithAKey(Cell):
        a_key_to_come: float = 1.0

    monkeypatch.setitem(settings_module.KEYS, "a_key_to_come", Key("training", absent=1.0))
    after, other = WithAKey(**before.values()), WithAKey(**before.values(), a_key_to_come=0.5)
    for name in ("id", "config", "training_key", "kind"):
        assert getattr(after, name) == getattr(before, name) != getattr(other, name)


def test_a_cell_with_other_values_is_another_cell():
    (cell,) = cells_of(SMALL)
    assert cell.id  # names are kept once they are made
    other = cell.but(latent=3)
    assert (other.latent, other.hidden) == (3, cell.hidden)
    assert other.id != cell.id == other.but(latent=cell.latent).id
    assert other.but(latent=cell.latent) == cell
    with pytest.raises(ValueError, match="latent"):
        cell.but(latent=0)


@pytest.mark.parametrize("key", [key for key in settings_module.KEYS if key not in WORDED])
def test_what_differs_has_different_labels(key):
    (cell,) = cells_of(SMALL)
    there = getattr(cell, key)
    words = [word for word in ("threshold", "relu", "bf16", "never", "mnist", "linear") if word != there]
    others = [7 if there is None else there + 1] if not isinstance(there, str | tuple | float) else []
    others += [0.25] if isinstance(there, float) else [(3, 4)] if isinstance(there, tuple) else []
    for value in [*others, *(words if isinstance(there, str) else [])]:
        try:
            other = cell.but(**{key: value})
        except ValueError:
            continue
        names = labels([cell, other])
        assert names[cell.id] != names[other.id]


def test_the_readable_part_of_a_name_shows_what_is_marked_for_it(monkeypatch):
    (cell,) = cells_of(SMALL)
    assert "-bf16-" in cell.but(precision="bf16").id
    assert "-bf16-" in cell.but(precision="bf16").kind
    assert "float32" not in cell.id
