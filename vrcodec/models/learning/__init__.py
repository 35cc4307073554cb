"""What models have in training only, in PyTorch: parameters with gradients, densities, the pass with noise."""
