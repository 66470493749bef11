"""HTTP in and out: one file a resource, and beside them who is asking, the body, errors and streams."""
