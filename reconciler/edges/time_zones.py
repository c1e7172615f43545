"""The time zones that this machine knows by name."""

import zoneinfo

# In the folder, but the name of no place.
_NO_PLACE = frozenset({"localtime", "posixrules", "Factory"})


def read_time_zones() -> frozenset[str]:
    """Return the names of the IANA list; none where the machine has no copy of it."""
    return frozenset(zoneinfo.available_timezones() - _NO_PLACE)
