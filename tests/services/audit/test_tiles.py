import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.audit import merkle, tiles
from services.audit.tiles import BrokenBundle, Edge


@pytest.mark.parametrize(
    ("index", "path"),
    [
        (0, "tile/0/000"),
        (999, "tile/0/999"),
        (1000, "tile/0/x001/000"),
        (1234067, "tile/0/x001/x234/067"),
    ],
)
def test_a_tile_lies_where_the_specification_says(index: int, path: str) -> None:
    assert tiles.tile_path(0, index) == path
    assert tiles.tile_path(0, index, 7) == f"{path}.p/7"
    assert tiles.bundle_path(index) == path.replace("tile/0", "tile/entries")


def test_the_tree_of_70000_of_the_specification() -> None:
    assert tiles.widths(70_000) == [112, 17, 1]
    assert tiles.widths(256) == [0, 1]
    assert tiles.widths(0) == []


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_a_bundle_is_read_as_it_was_written(entries: list[bytes]) -> None:
    assert tiles.unbundle(tiles.bundle(entries)) == entries


def test_a_bundle_is_length_prefixed_with_16_bits() -> None:
    assert tiles.bundle([b"ab", b""]) == b"\x00\x02ab\x00\x00"
    assert tiles.unbundle(tiles.bundle([b"x" * 65_535])) == [b"x" * 65_535]


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 5])
def test_a_bundle_that_ends_within_an_entry_says_how_much_of_it_is_good(cut: int) -> None:
    with pytest.raises(BrokenBundle) as broken:
        tiles.unbundle(tiles.bundle([b"first", b"later"])[:-cut])
    assert broken.value.entries == [b"first"]


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 1000, 65_536, 65_537, 66_000])
def test_the_edge_gives_the_head_of_the_whole_tree(size: int) -> None:
    leaves = [merkle.leaf_hash(b"%d" % index) for index in range(size)]
    edge = Edge()
    for leaf in leaves:
        edge.append(leaf)
    assert edge.root() == merkle.root(leaves)
    assert [len(level) for level in edge.levels] == tiles.widths(size)
    assert [(level, index) for level, index, _ in edge.completed if level == 0] == [
        (0, index) for index in range(size // 256)
    ]
    assert Edge(size, edge.levels).root() == edge.root()


def test_an_edge_that_does_not_fit_its_size_is_refused() -> None:
    with pytest.raises(ValueError, match="not the edges of a tree of 2"):
        Edge(2, [[b""]])
