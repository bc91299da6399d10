"""Which addresses may be reached. The resolver is the seam: what a name resolves to is the test's to say."""

import pytest

from penstock.kit.egress import AddressRefused, CheckedResolver, HostNotFound, is_public, lookup


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.255.255.254",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001:0:7f00:1::",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
        "localhost",
        "2130706433",
        "0x7f000001",
        "127.1",
        "",
    ],
)
def test_what_is_not_on_the_public_internet_is_refused(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)


def resolver(*addresses: str, private: tuple[str, ...] = ()) -> CheckedResolver:
    async def look(host: str, port: int) -> list[str]:
        return list(addresses)

    return CheckedResolver(private, look)


async def test_the_checked_address_is_the_one_that_is_connected_to() -> None:
    (found,) = await resolver("93.184.216.34").resolve("example.com", 443)
    assert (found["host"], found["hostname"], found["port"]) == ("93.184.216.34", "example.com", 443)


async def test_one_bad_address_among_several_refuses_them_all() -> None:
    with pytest.raises(AddressRefused, match=r"^example\.com is at an address that may not be reached"):
        await resolver("93.184.216.34", "10.0.0.1").resolve("example.com", 443)


async def test_a_named_host_may_be_private() -> None:
    (found,) = await resolver("10.0.0.1", private=("api.internal",)).resolve("API.internal", 80)
    assert found["host"] == "10.0.0.1"


async def test_a_name_without_an_address_is_not_found() -> None:
    with pytest.raises(HostNotFound):
        await resolver().resolve("example.com", 80)


def test_a_host_written_as_an_address_is_checked_too() -> None:
    resolver().check("8.8.8.8")
    resolver().check("example.com")
    resolver(private=("127.0.0.1",)).check("127.0.0.1")
    with pytest.raises(AddressRefused):
        resolver().check("127.0.0.1")
    with pytest.raises(AddressRefused):
        resolver().check("[::1]")


async def test_the_systems_resolver_is_asked() -> None:
    assert set(await lookup("127.0.0.1", 80)) == {"127.0.0.1"}
