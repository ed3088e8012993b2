"""A search over what could be built: size, precision, batch and table against memory, time and what is recognised."""
