"""Who is asking: keys and tokens. Pure; what the database knows of keys is looked up by `api/identity.py`."""
