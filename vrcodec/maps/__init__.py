"""Quality maps: a rate for each place of a picture, given by the user or computed from the picture."""
