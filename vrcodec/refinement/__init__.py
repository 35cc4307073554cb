"""Better latents for one picture: gradient descent on what is coded, through the frozen decoder.

Yang, Bamler and Mandt, "Improving Inference for Neural Image Compression", NeurIPS 2020. The file format and
the decoder know nothing of it.
"""
