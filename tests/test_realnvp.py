"""The flow's density and its written-out gradient against torch, and stacks against flows trained one by one."""

import numpy as np
import pytest
import torch

from nearfar import realnvp

SETTINGS = {"hidden": 16, "layers": 4, "epochs": 30, "batch": 32, "lr": 3e-3, "weight_decay": 1e-2, "patience": 5}


def stack(dims=7, layers=3, flows=2):
    """A stack whose last maps are not zero, so that every weight has a slope."""
    rng = np.random.default_rng(0)
    made = realnvp.Stack(dims, 16, layers, [np.random.default_rng(k) for k in range(flows)])
    made.values += 0.1 * rng.standard_normal(made.values.shape).astype(np.float32)
    return made


def surprise(x, weights):
    """-log p of x (B, D) by torch: the inverse of its own sampling, with the determinant that autograd finds."""
    first, second = x[:, : x.shape[1] // 2], x[:, x.shape[1] // 2 :]
    log_scale = 0.0
    for layer in range(len(weights) // 6):
        w1, b1, w2, b2, w3, b3 = weights[6 * layer : 6 * layer + 6]
        known, changed = (first, second) if layer % 2 == 0 else (second, first)
        out = torch.relu(torch.relu(known @ w1 + b1) @ w2 + b2) @ w3 + b3
        scale, shift = out.split(changed.shape[1], 1)
        changed = changed * scale.tanh().exp() + shift
        log_scale = log_scale + scale.tanh().sum(1)
        first, second = (known, changed) if layer % 2 == 0 else (changed, known)
    z = torch.cat([first, second], 1)
    return 0.5 * (z**2).sum(1) + 0.5 * x.shape[1] * np.log(2 * np.pi) - log_scale


def test_density_and_gradients_are_torchs():
    made, rng = stack(), np.random.default_rng(1)
    x = rng.standard_normal((2, 5, 7)).astype(np.float32)
    share = np.array([[0.25] * 4 + [0.0], [0.2] * 5], np.float32)
    loss, tape = realnvp.forward(x, made.weights)
    realnvp.backward(tape, share, made.weights, made.gradients)
    for flow in range(2):
        weights = [torch.tensor(weight[flow], requires_grad=True) for weight in made.weights]
        expected = surprise(torch.tensor(x[flow]), weights)
        np.testing.assert_allclose(loss[flow], expected.detach(), rtol=1e-6)
        (expected * torch.tensor(share[flow])).sum().backward()
        for weight, ours in zip(weights, made.gradients, strict=True):
            np.testing.assert_allclose(ours[flow], weight.grad, rtol=1e-5, atol=2e-6)
            assert np.abs(ours[flow]).max() > 0


def test_the_log_scale_is_the_jacobians_determinant():
    made = stack(dims=4, flows=1)
    weights = [torch.tensor(weight[0].astype(np.float64)) for weight in made.weights]
    x = torch.tensor([[0.3, -1.0, 0.5, 2.0]], dtype=torch.float64)

    def z(point):
        """The flow's output: its surprise less the determinant's part is half its square."""
        first, second = point[:2], point[2:]
        for layer in range(3):
            w1, b1, w2, b2, w3, b3 = weights[6 * layer : 6 * layer + 6]
            known, changed = (first, second) if layer % 2 == 0 else (second, first)
            out = torch.relu(torch.relu(known @ w1 + b1[0]) @ w2 + b2[0]) @ w3 + b3[0]
            changed = changed * out[:2].tanh().exp() + out[2:]
            first, second = (known, changed) if layer % 2 == 0 else (changed, known)
        return torch.cat([first, second])

    volume = torch.linalg.slogdet(torch.autograd.functional.jacobian(z, x[0]))[1]
    expected = 0.5 * z(x[0]).square().sum() + 2 * np.log(2 * np.pi) - volume
    ours = realnvp.forward(x.numpy()[None], [weight.astype(np.float64) for weight in made.weights])[0]
    assert ours.item() == pytest.approx(expected.item(), rel=1e-9)


def test_adamw_is_torchs():
    made, rng = stack(flows=1), np.random.default_rng(2)
    values = torch.tensor(made.values[0], requires_grad=True)
    optimizer = torch.optim.AdamW([values], lr=0.01, weight_decay=0.1)
    for size in (0.01, 100.0, 1.0):  # the second is cut
        made.slopes[:] = size * rng.standard_normal(made.slopes.shape)
        values.grad = torch.tensor(made.slopes[0])
        torch.nn.utils.clip_grad_norm_([values], realnvp.CLIP_NORM)
        optimizer.step()
        made.step(0.01, 0.1)
    np.testing.assert_allclose(made.values[0], values.detach(), atol=1e-6)


@pytest.mark.parametrize("held_out", [0.15, 0])
def test_a_stack_is_its_flows_one_by_one(held_out):
    """Also where they have different numbers of clips and stop in different epochs."""
    rng = np.random.default_rng(3)
    inputs = [rng.standard_normal((n, 6)).astype(np.float32) ** power for n, power in ((100, 1), (101, 3), (98, 2))]
    together = realnvp.train(inputs, [5, 6, 7], held_out=held_out, **SETTINGS)
    for i, flow in enumerate(together):
        (alone,) = realnvp.train([inputs[i]], [5 + i], held_out=held_out, **SETTINGS)
        for ours, expected in zip(flow, alone, strict=True):
            np.testing.assert_allclose(ours, expected, atol=1e-6)
    assert not np.allclose(together[0][0], together[1][0])
