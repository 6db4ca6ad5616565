"""The flow: its density, its written-out gradient and its optimiser against torch."""

from unittest import mock

import numpy as np
import pytest
import torch

from nearfar.detectors import realnvp


def flow(dims=7, layers=3):
    """Packed values whose last maps are not zero, so that every weight has a slope, and views of them."""
    wanted = realnvp.shapes(dims, 16, layers)
    values = realnvp.begun(wanted, np.random.default_rng(0))
    values += 0.1 * np.random.default_rng(1).standard_normal(values.shape).astype(np.float32)
    return values, realnvp.unpacked(values, wanted)


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
    values, weights = flow()
    x = np.random.default_rng(2).standard_normal((5, 7)).astype(np.float32)
    gradients = realnvp.unpacked(np.empty_like(values), [weight.shape for weight in weights])
    loss, tape = realnvp.forward(x, weights)
    realnvp.backward(tape, weights, gradients)
    torchs = [torch.tensor(weight, requires_grad=True) for weight in weights]
    expected = surprise(torch.tensor(x), torchs)
    np.testing.assert_allclose(loss, expected.detach(), rtol=1e-6)
    expected.mean().backward()
    for weight, ours in zip(torchs, gradients, strict=True):
        np.testing.assert_allclose(ours, weight.grad, rtol=1e-5, atol=2e-6)
        assert np.abs(ours).max() > 0


def test_the_log_scale_is_the_jacobians_determinant():
    weights = [weight.astype(np.float64) for weight in flow(dims=4)[1]]
    x = torch.tensor([0.3, -1.0, 0.5, 2.0], dtype=torch.float64)

    def z(point):
        first, second = point[:2], point[2:]
        for layer in range(3):
            w1, b1, w2, b2, w3, b3 = map(torch.tensor, weights[6 * layer : 6 * layer + 6])
            known, changed = (first, second) if layer % 2 == 0 else (second, first)
            out = torch.relu(torch.relu(known @ w1 + b1) @ w2 + b2) @ w3 + b3
            changed = changed * out[:2].tanh().exp() + out[2:]
            first, second = (known, changed) if layer % 2 == 0 else (changed, known)
        return torch.cat([first, second])

    volume = torch.linalg.slogdet(torch.autograd.functional.jacobian(z, x))[1]
    expected = 0.5 * z(x).square().sum() + 2 * np.log(2 * np.pi) - volume
    assert realnvp.forward(x.numpy()[None], weights)[0].item() == pytest.approx(expected.item(), rel=1e-9)


def test_adamw_is_torchs():
    values, rng = flow()[0], np.random.default_rng(2)
    theirs = torch.tensor(values, requires_grad=True)
    optimizer, ours = torch.optim.AdamW([theirs], lr=0.01, weight_decay=0.1), realnvp.AdamW(values, 0.01, 0.1)
    for size in (0.01, 100.0, 1.0):  # the second is cut
        gradient = (size * rng.standard_normal(values.shape)).astype(np.float32)
        theirs.grad = torch.tensor(gradient)
        torch.nn.utils.clip_grad_norm_([theirs], realnvp.CLIP_NORM)
        optimizer.step()
        ours.step(gradient)
    np.testing.assert_allclose(values, theirs.detach(), atol=1e-6)


def test_batches_are_equal_and_none_is_left_out():
    seen, rows = np.arange(20, dtype=np.float32)[:, None].repeat(4, 1), []
    values, weights = flow(dims=4)
    forward = realnvp.forward
    with mock.patch.object(realnvp, "forward", side_effect=lambda x, w: rows.append(x[:, 0]) or forward(x, w)):
        realnvp._epoch(seen, np.arange(20)[::-1], weights, realnvp.AdamW(values, 1e-3, 0), 8)
    assert [len(part) for part in rows] == [7, 7, 6]
    assert list(np.concatenate(rows)) == list(range(20))[::-1]
