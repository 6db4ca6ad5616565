import numpy as np
import pytest
import torch

from nearfar.errors import NearfarError
from nearfar.learning.schedule import descend, seeded, set_rate, warmup_cosine


def test_the_rate_warms_up_and_falls():
    np.testing.assert_allclose(
        [warmup_cosine(done, 0.2) for done in (0.1, 0.2, 0.6, 1.0)], [0.5, 1, 0.5, 0], atol=1e-12
    )
    assert warmup_cosine(0, 0) == 1 and warmup_cosine(0.5, 1) == 0.5 and warmup_cosine(1, 1) == 1
    assert type(warmup_cosine(0.7, 0.1)) is float  # a numpy number would make a state unreadable


def test_first_weights_hang_on_the_seed_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, same, other = (seeded(seed, torch.nn.Linear, 3, 2) for seed in (1, 1, 2))
    assert torch.equal(one.weight, same.weight) and not torch.equal(one.weight, other.weight)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_step_goes_down_the_first_loss_at_the_rate_set():
    place = torch.nn.Parameter(torch.tensor([3.0]))
    optimizer = torch.optim.SGD([place], lr=9)
    set_rate(optimizer, 0.25)
    assert descend(optimizer, [place.square().sum(), 7 * place.sum()], key="here", epoch=1) == [9.0, 21.0]
    assert place.item() == 3 - 0.25 * 6


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_changes_nothing(bad):
    place = torch.nn.Parameter(torch.tensor([3.0]))
    with pytest.raises(NearfarError, match=rf"features\.x: the loss is {bad} in epoch 4; lower lr"):
        descend(torch.optim.SGD([place], lr=1), [bad * place.sum()], key="features.x", epoch=4)
    assert place.item() == 3
