"""Quality maps: a rate for each place of a picture, given by people or made from the picture."""
