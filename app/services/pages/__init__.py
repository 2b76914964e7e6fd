"""All that is cached, and the cards that are assembled from it."""
