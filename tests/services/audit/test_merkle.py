import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.audit import merkle
from services.audit.merkle import leaf_hash

# The leaves and tree heads that Certificate Transparency's own implementations test with.
LEAVES = [
    leaf_hash(bytes.fromhex(text))
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
HEADS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
SIZES = st.integers(1, 200)


def _mth(leaves: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, word for word."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return merkle.node_hash(_mth(leaves[:split]), _mth(leaves[split:]))


def _tree(size: int) -> list[bytes]:
    return [leaf_hash(b"%d" % index) for index in range(size)]


def _proof(ranges: list[merkle.Range], leaves: list[bytes]) -> list[bytes]:
    return [
        merkle.range_hash(range_, lambda level, index: merkle.root(leaves[index << level : (index + 1) << level]))
        for range_ in ranges
    ]


@pytest.mark.parametrize("size", range(9))
def test_the_known_tree_heads(size: int) -> None:
    assert merkle.root(LEAVES[:size]).hex() == HEADS[size]


@given(SIZES)
def test_the_head_is_that_of_the_recursive_definition(size: int) -> None:
    assert merkle.root(_tree(size)) == _mth(_tree(size))


def test_known_inclusion_proof() -> None:
    proof = _proof(merkle.inclusion_ranges(5, 8), LEAVES)
    assert [step.hex() for step in proof] == [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]


@given(SIZES, st.data())
def test_every_leaf_is_proved_and_nothing_else(size: int, data: st.DataObject) -> None:
    leaves = _tree(size)
    index = data.draw(st.integers(0, size - 1))
    proof = _proof(merkle.inclusion_ranges(index, size), leaves)
    head = merkle.root(leaves)
    assert merkle.includes(leaves[index], index, size, proof, head)
    assert not merkle.includes(leaf_hash(b"another"), index, size, proof, head)
    assert not merkle.includes(leaves[index], index, size, proof, leaf_hash(b"another"))
    assert not merkle.includes(leaves[index], size, size, proof, head)
    assert not merkle.includes(leaves[index], index, size, [*proof, head], head)
    if proof:
        assert not merkle.includes(leaves[index], index, size, proof[:-1], head)


@given(SIZES, st.data())
def test_every_older_tree_is_proved_to_be_the_beginning(size: int, data: st.DataObject) -> None:
    leaves = _tree(size)
    old = data.draw(st.integers(1, size))
    proof = _proof(merkle.consistency_ranges(old, size), leaves)
    old_head, head = merkle.root(leaves[:old]), merkle.root(leaves)
    assert merkle.extends(old, size, old_head, head, proof)
    assert not merkle.extends(old, size, leaf_hash(b"another"), head, proof)
    assert not merkle.extends(old, size, old_head, leaf_hash(b"another"), proof)
    assert not merkle.extends(old, size, old_head, head, [*proof, head])
    if proof:
        assert not merkle.extends(old, size, old_head, head, proof[:-1])


def test_the_empty_tree_is_extended_by_every_tree() -> None:
    assert merkle.extends(0, 8, merkle.EMPTY_ROOT, merkle.root(LEAVES), [])
    assert not merkle.extends(0, 8, LEAVES[0], merkle.root(LEAVES), [])


def test_a_larger_tree_is_not_the_beginning_of_a_smaller_one() -> None:
    assert not merkle.extends(8, 4, merkle.root(LEAVES), merkle.root(LEAVES[:4]), [])
    with pytest.raises(ValueError, match="a tree of 4 cannot extend one of 8"):
        merkle.consistency_ranges(8, 4)


def test_a_leaf_that_is_not_there_has_no_proof() -> None:
    with pytest.raises(ValueError, match="leaf 8 is not in a tree of 8"):
        merkle.inclusion_ranges(8, 8)
