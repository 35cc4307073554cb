"""The choice of the best file: by a model or without loss, at the rate that meets a target. And verification.

- `rate_control`: the entry, `encode_to_target`;
- `target`: what is asked for, and the band of values that is close enough;
- `rate_axis`: the rates, and beyond them the quantisation steps, that a search may try;
- `trial_encoder`: encodes at those that it tries, and measures the files;
- `rate_search`: which to try next; `size_forecast`: how large its file should be;
- `refined_trials`: the same with latent refinement (`vrcodec.refinement`);
- `lossless_choice`: what to store without loss;
- `verification`: whether a new file decodes to its picture.
"""
