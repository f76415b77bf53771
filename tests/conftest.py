"""Tiny models, built once per run. Tests that change one build their own (`tiny_models.tiny`)."""

import pytest
from hypothesis import settings

settings.register_profile("default", deadline=None)  # no test is a stopwatch
settings.load_profile("default")


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
