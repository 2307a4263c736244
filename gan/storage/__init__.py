"""Files on a local folder or an object store, and the folder of caches."""
