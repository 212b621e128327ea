"""aural on a Ray cluster.

serve run aural.scale:app config=aural.toml            # a builder, which takes arguments
AURAL_CONFIG=aural.toml serve build aural.scale:built  # the same, built, for files

Needs `pip install 'aural[ray]'`. docs/scale.md has the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ray.serve import Application


def app(arguments: dict[str, str]) -> Application:
    """The application of a configuration file; `Arguments` names what else may be told. Raises SettingsError."""
    from aural.scale.application import build
    from aural.scale.arguments import Arguments

    return build(Arguments.of(arguments))


def __getattr__(name: str) -> Any:
    """`built` is made when it is asked for: it reads a file."""
    if name == "built":
        return app({})
    raise AttributeError(name)
