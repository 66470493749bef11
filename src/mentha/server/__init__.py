"""The composition root: it makes the parts, hands them to each other, and starts and stops them in order."""
