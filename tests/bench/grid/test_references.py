"""Which references a grid's contests get."""

from __future__ import annotations

from bench.grid.cell import Cell
from bench.grid.read import parse_grid
from bench.grid.references import of_grid

PLAIN = ["histogram", "png", "product_mixture", "uniform", "webp", "xz"]


def specs(text: str):
    return of_grid(parse_grid(text, "small", "small.toml").cells)


def names(text: str) -> list[str]:
    return sorted(spec.reference for spec in specs(text))


def test_every_contest_gets_every_reference_and_every_family_that_is_no_recipe_its_own():
    assert names('[grid]\nfamily = ["gaussian", "categorical", "mse_sum"]\n') == sorted(
        [*PLAIN, "no_latent:categorical", "no_latent:gaussian"]
    )


def test_the_binary_view_is_a_contest_of_its_own():
    found = specs('[grid]\nfamily = ["categorical", "bernoulli"]\n')
    assert {spec.reference for spec in found if spec.binary} == {*PLAIN, "no_latent:bernoulli"}
    assert {spec.reference for spec in found if not spec.binary} == {*PLAIN, "no_latent:categorical"}


def test_seed_schedule_and_network_make_no_contest():
    one = specs('[grid]\nfamily = "categorical"\n')
    many = specs('[grid]\nfamily = "categorical"\nseed = [0, 1]\nhidden = [[10], [20]]\nlearning_rate = [0.1, 0.2]\n')
    assert [spec.id for spec in many] == [spec.id for spec in one]


def test_what_is_scored_makes_one():
    base = 'family = "categorical"\n'
    texts = ["", "quantise = 4\n", "train_images = 100\n", "test_images = 50\n"]
    texts += ["crop = 6\n", "resize = 6\n", "grey = true\n", "patch_size = 6\n"]
    ids = [{spec.id for spec in specs(f'[grid]\ndataset = "mnist"\n{base}{more}')} for more in texts]
    assert all(one.isdisjoint(other) for n, one in enumerate(ids) for other in ids[:n])
    drawn = '[grid]\nfamily = "bernoulli"\nbinarisation = ["stochastic", "threshold"]\n'
    assert len(specs(drawn)) == 2 * (len(PLAIN) + 1)


def test_the_settings_are_those_that_the_grid_tries_each_once():
    text = (
        '[grid]\nfamily = "gaussian"\nsigma = ["shared", 0.1]\nobjective = ["dequantised", "binned"]\nseed = [0, 1]\n'
    )
    (spec,) = (spec for spec in specs(text) if spec.reference == "no_latent:gaussian")
    assert [dict(setting) for setting in spec.settings] == [{"sigma": "shared"}, {"sigma": 0.1}]
    wider = [spec.id for spec in specs(text.replace('"shared", 0.1', '"shared", 0.1, "pixel"'))]
    assert spec.id not in wider, "another setting is another reference"
    assert len(set(wider) & {spec.id for spec in specs(text)}) == len(PLAIN), "and leaves the others alone"


def test_a_spec_says_what_it_is_of_and_is_none_of_a_cell():
    spec = specs('[grid]\ndataset = "mnist"\nfamily = "gaussian"\nquantise = 16\ntest_images = 20\n')[0]
    assert spec.id.startswith("mnist-reference-histogram-")
    assert (spec.spec["quantise"], spec.spec["test_images"]) == (16, 20)
    assert spec.spec["reference"] == "histogram"
    assert "reference" not in Cell.model_fields
    assert hash(spec) == hash(spec.id)


def test_later_keys_of_data_change_no_name_of_before():
    """Names of references in runs that are there are digests of these."""
    (before,) = [spec for spec in specs('[grid]\nfamily = "categorical"\n') if spec.reference == "uniform"]
    of_data = {"dataset": "digits", "levels": None, "quantise": None, "train_images": None, "block": None}
    assert of_data.items() <= before.spec.items()
    assert not {"crop", "resize", "grey", "patch_size"} & before.spec.keys()
    assert before.id == "digits-reference-uniform-9e3b59e4"
