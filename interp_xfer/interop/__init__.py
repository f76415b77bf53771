"""Other people's tools: the same model and steering through EleutherAI's harness."""
