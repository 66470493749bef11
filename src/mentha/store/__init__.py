"""PostgreSQL: one file a resource, and the pool, the migrations and the embedded server beside them. SQL is written here and nowhere else.

Functions of a resource take the transaction first and the tenant second, and neither open nor commit one.
"""
