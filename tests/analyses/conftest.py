"""Synthetic runs, written once a session; tests read them, and write only into their own folders."""

import shutil

import pytest


@pytest.fixture(scope="session")
def demo_files(tmp_path_factory):
    from fake_runs import demo_run

    return demo_run(tmp_path_factory.mktemp("demo")).root


@pytest.fixture
def demo(demo_files, tmp_path):
    """A run of one cell with everything, in a folder of its own."""
    from interp_xfer.studies.run_store import RunStore

    shutil.copytree(demo_files, tmp_path / "demo")
    return RunStore(tmp_path / "demo")


@pytest.fixture(scope="session")
def small_grid(tmp_path_factory):
    """2 parents x 2 children x 2 data sets."""
    from fake_runs import CHILDREN, PARENTS, grid_run

    return grid_run(tmp_path_factory.mktemp("grid"), PARENTS[:2], CHILDREN[:2], ("gsm8k", "arc_challenge"), n=12)


def pytest_configure(config):
    config.addinivalue_line("markers", "browser: draws a report in headless Chromium")
