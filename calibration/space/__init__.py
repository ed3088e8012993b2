"""The embedding space: the head that spans it, the head in the engine's graph, the prototypes in it."""
