import math

import numpy as np
import pytest
import torch

from nearfar.learning.losses import alignment, codes, composite, supervised_contrastive

RIGHT, UP, LEFT, DOWN = (1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0)


def vectors(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def test_codes_tell_words_apart():
    assert codes(["b", "a", "b"]).tolist() == [1, 0, 1]


def test_supervised_contrastive_by_hand():
    # Class 0: RIGHT, UP; class 1: LEFT alone. Both anchors see similarities 0 (positive) and -1 or 0.
    z = vectors(RIGHT, UP, LEFT)
    first = math.log(1 + math.exp(-2))  # RIGHT: UP 0, LEFT -1/0.5
    second = math.log(1 + 1)  # UP: RIGHT 0, LEFT 0
    loss = supervised_contrastive(z, torch.tensor([0, 0, 1]), 0.5)
    assert loss.item() == pytest.approx((first + second) / 2)


def test_several_positives_are_averaged_outside_the_logarithm():
    z = vectors(RIGHT, RIGHT, UP, LEFT)
    classes = torch.tensor([0, 0, 0, 1])
    e = math.exp
    right = math.log(e(1) + 1 + e(-1)) - (1 + 0) / 2
    up = math.log(1 + 1 + 1) - 0
    loss = supervised_contrastive(z, classes, 1.0)
    assert loss.item() == pytest.approx((2 * right + up) / 3)


def test_length_of_embeddings_does_not_matter():
    z = torch.randn(12, 5, generator=torch.Generator().manual_seed(0))
    classes, machines, domains = torch.arange(12) % 3, torch.arange(12) % 2, torch.arange(12) // 6
    longer = z * torch.linspace(0.1, 9, 12)[:, None]
    lengths = (composite(x, classes, machines, domains, temperature=0.07, weight=0.5) for x in (z, longer))
    for one, other in zip(*lengths, strict=True):
        assert one.item() == pytest.approx(other.item(), rel=1e-5)


def test_batch_without_positives_has_no_loss_and_a_gradient():
    z = vectors(RIGHT, UP).requires_grad_()
    loss = supervised_contrastive(z, torch.tensor([0, 1]), 0.1)
    loss.backward()
    assert loss.item() == 0 and torch.equal(z.grad, torch.zeros_like(z))


def test_gradient_is_finite_at_a_low_temperature():
    z = torch.randn(16, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    supervised_contrastive(z, torch.arange(16) % 5, 0.01).backward()
    assert torch.isfinite(z.grad).all() and z.grad.abs().max() > 0


def test_alignment_by_hand():
    # Machine 0: source mean (0.5, 0.5), target LEFT: 1.5² + 0.5². Machine 1: RIGHT against UP: 2.
    # Machine 2 has no target. Lengths are 2, and must not count.
    z = 2 * vectors(RIGHT, UP, LEFT, RIGHT, UP, DOWN)
    machines = torch.tensor([0, 0, 0, 1, 1, 2])
    domains = torch.tensor([0, 0, 1, 0, 1, 0])
    assert alignment(z, machines, domains).item() == pytest.approx((2.5 + 2) / 2)


def test_alignment_of_one_domain_is_zero():
    z = vectors(RIGHT, UP)
    for domain in (0, 1):
        assert alignment(z, torch.tensor([0, 0]), torch.full((2,), domain)).item() == 0


def test_composite_weighs_its_terms():
    z = vectors(RIGHT, UP, LEFT, RIGHT)
    words = [codes(w) for w in (["a", "a", "b", "b"], ["m"] * 4, ["source", "source", "source", "target"])]
    loss, contrast, distance = composite(z, *words, temperature=0.3, weight=0.5)
    assert distance > 0 and contrast > 0
    assert loss.item() == pytest.approx(contrast.item() + 0.5 * distance.item())
    assert contrast.item() == pytest.approx(supervised_contrastive(z, words[0], 0.3).item())
    assert distance.item() == pytest.approx(alignment(z, words[1], words[2]).item())


def test_classes_apart_cost_less_than_classes_mixed():
    z = vectors(RIGHT, RIGHT, LEFT, LEFT)
    apart = supervised_contrastive(z, torch.tensor([0, 0, 1, 1]), 0.1)
    mixed = supervised_contrastive(z, torch.tensor([0, 1, 0, 1]), 0.1)
    assert np.isclose(apart.item(), 0, atol=1e-6) and mixed.item() > 10
