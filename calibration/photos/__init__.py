"""The catalogue as arrays: photos listed, fingerprinted, embedded by the built engine, split by role."""
