"""Web ports of sandboxes, by host name: a reverse proxy for HTTP and WebSockets. Shared by all doors."""

from sandlot.doors.ingress.hosts import Address, host_of, parse_host
from sandlot.doors.ingress.ingress import Ingress

__all__ = ["Address", "Ingress", "host_of", "parse_host"]
