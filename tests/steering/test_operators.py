"""The table of the handbook, section 9, and what each operator promises."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from interp_xfer.errors import ConfigError
from interp_xfer.steering.operators import OPERATORS

H = torch.tensor([[[3.0, 4.0]]])
V = torch.tensor([1.0, 0.0])

TABLE = [
    ("add", 1.0, (4.0, 4.0)),
    ("project_out", 1.0, (0.0, 4.0)),
    ("norm_preserving", 1.0, (3.53553, 3.53553)),
    ("clamp", 2.0, (2.0, 4.0)),
    ("piecewise", 1.0, (4.0, 4.0)),
    ("piecewise", -1.0, (4.0, 4.0)),
]


@pytest.mark.parametrize(("name", "coefficient", "expected"), TABLE)
def test_handbook_table(name, coefficient, expected):
    found = OPERATORS[name].apply(H, V, torch.tensor([[[coefficient]]]))
    torch.testing.assert_close(found, torch.tensor([[expected]]), atol=1e-5, rtol=0)


def test_every_operator_is_in_the_table():
    assert {name for name, _, _ in TABLE} == set(OPERATORS)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(name=st.sampled_from(sorted(OPERATORS)), batch=st.integers(1, 4), pos=st.integers(1, 5), seed=st.integers(0, 99))
def test_properties(name, batch, pos, seed):
    generator = torch.Generator().manual_seed(seed)
    h = torch.randn(batch, pos, 8, generator=generator) * 10
    v = torch.nn.functional.normalize(torch.randn(8, generator=generator), dim=0)
    c = torch.randn(batch, 1, 1, generator=generator) * 3
    operator = OPERATORS[name].apply
    out = operator(h, v, c)
    assert out.shape == h.shape
    for row in range(batch):  # a batch is its rows
        torch.testing.assert_close(out[row], operator(h[row : row + 1], v, c[row : row + 1])[0])
    length = h.norm(dim=-1)
    scores = out @ v
    if name == "add":
        torch.testing.assert_close(scores, h @ v + c[:, :, 0])
    if name == "project_out":
        assert (scores.abs() < 1e-6 * length).all()
        torch.testing.assert_close(operator(out, v, c), out)
    if name == "norm_preserving":
        torch.testing.assert_close(out.norm(dim=-1), length, rtol=1e-6, atol=0)
    if name == "clamp":
        torch.testing.assert_close(scores, c[:, :, 0].expand_as(scores), atol=1e-4, rtol=1e-4)
    if name == "piecewise":  # strengthens the side h is on, whatever the sign of the coefficient
        assert (scores.abs() >= (h @ v).abs()).all()
        torch.testing.assert_close(out, operator(h, v, -c))
    orthogonal = out - scores[..., None] * v - (h - (h @ v)[..., None] * v)
    if name != "norm_preserving":  # nothing else moves
        assert (orthogonal.abs() < 1e-4).all()


def test_unknown_operator():
    with pytest.raises(ConfigError, match="unknown operator 'multiply'; choose from add, project_out, norm_preserving"):
        OPERATORS["multiply"]
