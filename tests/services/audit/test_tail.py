from services.audit import tail
from services.audit.merkle import leaf_hash
from services.audit.tail import Broken, Line

ENTRIES = [b'{"a":1}', b'{"b":2}', b'{"c":3}']
DATA = tail.lines(7, [(leaf_hash(entry), entry) for entry in ENTRIES])


def test_lines_are_read_as_they_were_written() -> None:
    read = list(tail.read(DATA))
    assert [line.entry for line in read if isinstance(line, Line)] == ENTRIES
    assert [line.index for line in read if isinstance(line, Line)] == [7, 8, 9]
    last = read[-1]
    assert isinstance(last, Line)
    assert last.end == len(DATA)


def test_an_empty_tail_has_no_lines() -> None:
    assert list(tail.read(b"")) == []


def test_a_tail_cut_anywhere_gives_its_whole_lines_and_says_where_it_breaks() -> None:
    for length in range(1, len(DATA)):
        whole = [end for end in (75, 150) if end <= length]
        read = list(tail.read(DATA[:length]))
        assert [line.end for line in read if isinstance(line, Line)] == whole
        at = whole[-1] if whole else 0
        assert [item.at for item in read if isinstance(item, Broken)] == ([] if at == length else [at])


def test_a_changed_byte_is_seen() -> None:
    for place in range(len(DATA)):
        data = bytearray(DATA)
        data[place] ^= 1
        lines = [item for item in tail.read(bytes(data)) if isinstance(item, Line)]
        # a changed index is a valid line of another record: whoever reads knows which index must come
        assert [(line.index, line.entry) for line in lines] != list(zip((7, 8, 9), ENTRIES, strict=True))
