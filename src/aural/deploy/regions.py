"""AWS is several: China, the government's and others have ARNs and host names of their own."""

from __future__ import annotations

from functools import cache

import botocore.session
from botocore.exceptions import UnknownRegionError

from aural.errors import SettingsError


@cache
def partition_of(region: str) -> str:
    """`aws`, `aws-cn`, … as ARNs have it. Raises SettingsError."""
    try:
        return str(botocore.session.get_session().get_partition_for_region(region))
    except UnknownRegionError as error:
        raise SettingsError(f"region: expected one of AWS's, such as eu-west-1; got {region!r}") from error


@cache
def suffix_of(region: str) -> str:
    """Of host names: `amazonaws.com`, … Raises SettingsError."""
    known = botocore.session.get_session().get_data("partitions")["partitions"]
    partition = partition_of(region)
    return str(next(one["outputs"]["dnsSuffix"] for one in known if one["id"] == partition))
