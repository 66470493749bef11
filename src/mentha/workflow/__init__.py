"""Tasks: what is checked of a definition, the plan that is made of it, and how an execution goes through a plan."""
