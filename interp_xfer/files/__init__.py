"""Reading and writing: whole files or none, artifacts with digests, typed records, what dead processes left."""
