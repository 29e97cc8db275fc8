"""Out of the request path: from the mirror's process to the worker's."""

from shadoweval.transport.receiver import SpoolReceiver
from shadoweval.transport.spool import SpoolTransport

__all__ = ["SpoolReceiver", "SpoolTransport"]
