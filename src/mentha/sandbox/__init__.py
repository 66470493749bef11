"""Where code of tenants runs: worker processes with limits, which the server may kill at any time."""
