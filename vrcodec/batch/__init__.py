"""Many files: lists of inputs, worker processes, the log of outcomes, shards for many machines."""
