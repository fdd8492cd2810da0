"""Search, layer by layer, for the integers that make spikes come out as in the float model.

A layer is measured behind the integer layers in front of it (:mod:`~snnquant.search.segments`,
:mod:`~snnquant.search.rows`, :mod:`~snnquant.search.moments`), gets grid, weights and biases
(:mod:`~snnquant.search.weights`), and then thresholds that bring its spikes closer to the float
ones (:mod:`~snnquant.search.correction`). :mod:`~snnquant.search.run` puts these steps in a row; a
further one goes there.
"""

from snnquant.search.run import DEFAULT_SAMPLES, SearchResult, search_model

__all__ = ["DEFAULT_SAMPLES", "SearchResult", "search_model"]
