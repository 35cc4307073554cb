"""Weights: fetching them, and keeping them in the user's store.

    try:
        image = vrcodec.decode(data)
    except vrcodec.errors.WeightsError as error:
        vrcodec.weights.fetch(error.id)

Nothing is fetched without being asked.
"""

from vrcodec.catalog import WeightsEntry, installed_weights, store_folder
from vrcodec.weights.fetching import fetch
from vrcodec.weights.store import add, remove

__all__ = ["WeightsEntry", "add", "fetch", "installed_weights", "remove", "store_folder"]
