"""The wave model: what stands around impurities at known places."""
