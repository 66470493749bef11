"""Tools of agents: what runs them, and the one door for every connection that a tenant directs."""
