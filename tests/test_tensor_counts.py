"""The counts themselves count rightly."""

from __future__ import annotations

import torch

from tests.tensor_counts import Bytes, Operators, operators


def test_the_count_of_bytes_counts() -> None:
    with Bytes() as counted:
        first = torch.zeros(1000)
        first += 1
        del first
        torch.zeros(500).add(1)
    assert 4000 <= counted.peak <= 4000 + 4000


def test_what_was_there_before_and_a_peak_that_is_forgotten_do_not_count() -> None:
    before = torch.zeros(1000)
    with Bytes((before,)) as counted:
        before[10:].view(-1)
        assert counted.peak == 0
        kept = torch.zeros(300)
        torch.zeros(2000)
        counted.forget_peak()
        assert counted.peak == counted.now == kept.nbytes


def test_the_count_of_operators_counts_forward_and_backward() -> None:
    x = torch.ones(3, requires_grad=True)
    with Operators() as counted:
        x.exp().sum().backward()
    assert counted.by_name["aten.exp.default"] == 1
    assert counted.by_name["aten.mul.Tensor"] == 1  # exp's backward
    assert operators(lambda: x.detach() + 1) == 2
