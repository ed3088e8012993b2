"""How strange is a crop? One method a file behind one interface; higher is stranger, for every method.

A method is made ready once per bundle from the prototype table and its own fitted arrays (`prepare`), and then takes
the class similarities (N, C), embeddings (N, D) and expected similarities (N,) of some crops and returns their
scores, float32 (N,). NumPy
only, no clock, no I/O, no randomness. Class means are those of the table, so a bundle that gains or loses a product
needs no new fit. `operations` states the multiply-adds of one crop, `held_values` the numbers that the method holds in
memory.

Which method a bundle uses is measured per catalogue (`calibration.rules.detector`), never assumed.
"""

from __future__ import annotations

from collections.abc import Mapping

from edge.errors import BundleError
from edge.ood import (
    energy,
    expected_cosine,
    fdbd,
    generalised_entropy,
    mahalanobis,
    margin,
    max_cosine,
    nearest_prototypes,
    relative_mahalanobis,
)
from edge.ood.method import Method, Score
from edge.parameters import OodModel, PrototypeTable

__all__ = ["METHODS", "Method", "Score", "prepare"]

METHODS: Mapping[str, Method] = {
    method.name: method
    for method in (
        max_cosine.METHOD,
        margin.METHOD,
        energy.METHOD,
        generalised_entropy.METHOD,
        nearest_prototypes.METHOD,
        mahalanobis.METHOD,
        relative_mahalanobis.METHOD,
        fdbd.METHOD,
        expected_cosine.METHOD,
    )
}


def prepare(model: OodModel, table: PrototypeTable) -> Score:
    """Return the score function of a bundle; raises BundleError for a method or an array that this version lacks."""
    method = METHODS.get(model.method)
    if method is None:
        raise BundleError(
            f"unknown detector {model.method!r}, expected one of {', '.join(sorted(METHODS))}; calibrate with this "
            "version"
        )
    dimension = table.prototypes.shape[1]
    for name, axes in method.arrays.items():
        wanted = (dimension,) * axes
        found = model.parameters.get(name)
        if found is None or found.shape != wanted:
            shape = "nothing" if found is None else found.shape
            raise BundleError(f"detector {model.method}: {name} is {shape}, expected {wanted}; calibrate again")
    return method.prepare(table, model.parameters)
