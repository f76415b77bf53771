"""One forward pass: stock attention, replay from a layer, activations, log p of given continuations."""
