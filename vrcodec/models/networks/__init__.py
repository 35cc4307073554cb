"""Networks that the families share: transforms, hyperprior, context, hierarchy, and modulation by the rate."""
