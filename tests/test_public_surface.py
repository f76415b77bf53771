"""`import interp_xfer`: quick, complete, and honest about what it has."""

import subprocess
import sys
from importlib.metadata import version

import pytest

import interp_xfer


def test_every_public_name_is_there():
    for name in interp_xfer.__all__:
        assert getattr(interp_xfer, name) is not None
    assert {"LayerMap", "Problem", "ContrastPair", "plot", "activations"} <= set(interp_xfer.__all__)
    assert len(set(interp_xfer.__all__)) == len(interp_xfer.__all__)


def test_dir_and_version():
    assert {*interp_xfer.__all__, "__version__", "__doc__"} <= set(dir(interp_xfer))
    assert interp_xfer.__version__ == version("interp-xfer")


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match="has no attribute 'extrakt'"):
        interp_xfer.extrakt  # noqa: B018


def test_import_loads_nothing_heavy():
    command = "import sys, interp_xfer; dir(interp_xfer); print({'torch', 'plotly', 'pandas'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", command], text=True).strip() == "set()"
