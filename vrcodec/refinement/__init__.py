"""Latent refinement: the latents of one picture are optimised by gradient descent through the frozen decoder.

Yang, Bamler and Mandt, "Improving Inference for Neural Image Compression", NeurIPS 2020. Only the encoder does
this; the file format and the decoder are unchanged. Read in this order:

- `effort`: how many steps, or how much time, the encoder may spend; progress and interruption;
- `refine`: the entry: plain pass, optimisation, and the choice of the cheaper file;
- `descent`: the optimiser, block by block, which minimises bits + lambda x distortion;
- `surrogate`: the differentiable stand-in of a model for one picture; by family `hyperprior`, `slim`, `qarv`;
- `bit_cost`, `rounding`, `distortion`: the differentiable rate, quantisation and distortion of that objective.
"""
