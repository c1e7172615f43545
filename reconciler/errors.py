"""What can go wrong outside, as few kinds as there are answers.

ReconcilerError
├── ManifestError    airports.json can't be read: the last good one stays
├── IkeUnreachable   charon can't be asked: nothing is planned
│   ├── IkeNoAccess  the way to it is barred, which is no evidence about charon itself
│   └── IkeLate      it takes questions and does not answer: it hangs, or is busy
├── ContainerRefused Docker can't or won't do it: that action failed
├── FilterRefused    nft did not do it: what was in force stays so
├── FilterUnreachable the filter agent can't be asked: what is in force is not known
├── IkeRefused       charon said no to one request: that action failed, others go on
├── StatusError      the status file can't be read or written
├── StateError       the state volume can't be read or written
├── OrderError       what was asked for by command line can't be had
│   └── UsageError   it was asked for in the wrong way
└── DiagnoseError    the archive for support can't be handed out
"""


class ReconcilerError(Exception):
    """The base of all of them."""


class ManifestError(ReconcilerError):
    """airports.json can't be read as JSON."""


class IkeUnreachable(ReconcilerError):  # noqa: N818 - says what it is
    """charon does not answer."""


class IkeNoAccess(IkeUnreachable):
    """charon's socket can't be reached: not there, or not for us."""


class IkeLate(IkeUnreachable):
    """charon's socket takes the question, and no answer comes: it is hung, or busy."""


class ContainerRefused(ReconcilerError):  # noqa: N818 - says what it is
    """Docker did not carry out an action on the container."""


class FilterRefused(ReconcilerError):  # noqa: N818 - says what it is
    """The kernel or nft did not carry out a change of the packet filter."""


class FilterUnreachable(ReconcilerError):  # noqa: N818 - says what it is
    """The filter agent does not answer."""


class IkeRefused(ReconcilerError):  # noqa: N818 - says what it is
    """charon answered no."""


class StatusError(ReconcilerError):
    """The status file can't be read or written."""


class StateError(ReconcilerError):
    """The state volume can't be read or written."""


class OrderError(ReconcilerError):
    """What was asked for by command line can't be had."""


class DiagnoseError(ReconcilerError):
    """The archive for support can't be handed out."""


class UsageError(OrderError):
    """The command line lacks something."""
