"""Log p of given texts under steering: option scores, gradients, sweeps over layers."""
