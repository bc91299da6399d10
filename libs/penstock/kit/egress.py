"""Where a service may connect to: a name is resolved once, each address checked, and a checked one connected to."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Collection
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from aiohttp.abc import AbstractResolver, ResolveResult

Lookup = Callable[[str, int], Awaitable[list[str]]]
"""A host's addresses, as texts. Raises OSError."""

# Beyond what `is_global` says of the IANA registries: clouds serve credentials there, or the address hides another.
_NEVER = tuple(
    ip_network(text)
    for text in (
        "168.63.129.16/32",  # Azure's host agent
        "192.0.0.0/24",  # IETF assignments; Oracle Cloud's metadata
        "192.88.99.0/24",  # 6to4 relay
        "100.64.0.0/10",  # carrier-grade NAT; Alibaba Cloud's metadata
        "64:ff9b::/96",  # NAT64: an IPv4 address inside
        "64:ff9b:1::/48",
        "2001::/23",  # Teredo and other IETF assignments
        "2002::/16",  # 6to4
        "::/96",  # IPv4-compatible
        "fec0::/10",
    )
)


class AddressRefused(Exception):
    """A host whose address may not be reached. It names the host, never the address."""

    def __init__(self, host: str) -> None:
        self.host = host
        super().__init__(f"{host} is at an address that may not be reached from here; private_hosts can allow it")


class HostNotFound(OSError):
    """A name without an address."""

    def __init__(self, host: str) -> None:
        super().__init__(f"{host} has no address")


def is_public(text: str) -> bool:
    """Whether this address is one on the public Internet. What cannot be read as an address is not."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return _is_public(address)


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if any(address in network for network in _NEVER if network.version == address.version):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def is_address(host: str) -> bool:
    """Whether this host is written as an address, not as a name."""
    try:
        ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return False
    return True


async def lookup(host: str, port: int) -> list[str]:
    """The system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class CheckedResolver(AbstractResolver):
    """One bad address among several refuses them all: a name that points both ways is an attack.

    Raises AddressRefused, and OSError when there is nothing to connect to.
    """

    def __init__(self, private_hosts: Collection[str], look: Lookup = lookup) -> None:
        self._private_hosts = frozenset(private_hosts)
        self._look = look

    def check(self, host: str) -> None:
        """For a host written as an address, which nobody resolves. Raises AddressRefused."""
        if is_address(host) and host not in self._private_hosts and not is_public(host):
            raise AddressRefused(host)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        addresses = list(dict.fromkeys(await self._look(host, port)))
        if not addresses:
            raise HostNotFound(host)
        if host.rstrip(".").lower() not in self._private_hosts and not all(map(is_public, addresses)):
            raise AddressRefused(host)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        """There is nothing to close."""
