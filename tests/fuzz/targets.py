"""The names of the targets, each a module beside this one."""

TARGETS = (
    "airports",
    "rounds",
    "vici",
    "events",
    "docker_api",
    "state",
    "journal",
    "log",
    "edit",
    "url",
    "fields",
)
