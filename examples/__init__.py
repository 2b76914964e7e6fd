"""Systems of others, which know Quartet by its API and its events alone."""
