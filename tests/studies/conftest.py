"""Models on disk, as users have them."""

import pytest


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """parent: a Llama with a chat template; child: a narrower Gemma 3 without."""
    from tiny_models import OTHER_CORPUS, hf_model, make_tokenizer

    root = tmp_path_factory.mktemp("models")
    hf_model("llama").save_pretrained(root / "parent")
    make_tokenizer().save_pretrained(root / "parent")
    hf_model("gemma3", 1, hidden_size=24, max_position_embeddings=1024).save_pretrained(root / "child")
    make_tokenizer(chat=False, corpus=OTHER_CORPUS).save_pretrained(root / "child")
    return root
