"""Many files: what is to be done, worker processes that do it, and a record of what was done."""
