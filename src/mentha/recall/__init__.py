"""Documents cut, indexed and found: what goes into the search, and what comes out in which order."""
