"""Tiny models, built once per run. Tests that change one build their own (`tiny_models.tiny`)."""

import signal

import pytest
from hypothesis import settings

LONGEST = (
    "test_bundled", "test_real_data", "test_drafts", "test_vocabularies", "test_report", "test_progress_totals",
    "test_browser", "test_hostile_models", "test_run_study", "test_runner", "test_kills", "test_loading", "test_wheel",
    "test_readme",
)  # fmt: skip

settings.register_profile("default", deadline=None)  # no test is a stopwatch
settings.load_profile("default")

# A job in the background may start with signals ignored, and its children inherit that; tests send them.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)


def pytest_collection_modifyitems(items):
    """The longest files first: with `--dist loadfile`, two processes then end at about the same time."""
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


@pytest.fixture(scope="session")
def models():
    """Architecture -> LoadedModel, built when first asked for."""
    import torch
    from tiny_models import tiny

    class Models(dict):
        def __missing__(self, architecture):
            with torch.inference_mode(False):  # whoever asks first, the weights can be differentiated
                self[architecture] = tiny(architecture)
            return self[architecture]

    return Models()
