"""Names for objects of other libraries whose attributes exist at run time alone, so that no checker knows them."""

from typing import Any

HFModel = Any
"""A causal language model of transformers: a `torch.nn.Module` with the parts and configuration of its architecture."""
HFConfig = Any
"""Its configuration."""
Bridge = Any
"""`transformer_lens.model_bridge.TransformerBridge`, which takes its attributes from the model inside."""
