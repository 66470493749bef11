"""Tools of agents: what is offered to a model, what runs them, and the one door for every connection that a tenant directs."""
