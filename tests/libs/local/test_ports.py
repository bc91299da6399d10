"""Ports of a local plane: remembered, never two the same, and another when one is taken."""

import socket
from pathlib import Path

from penstock.local.ports import choose_ports, is_free


def test_ports_are_the_same_at_the_next_start(tmp_path: Path) -> None:
    first = choose_ports(tmp_path / "ports.json", {"a": 0, "b": 0}, {})
    assert first["a"] != first["b"]
    assert choose_ports(tmp_path / "ports.json", {"a": 0, "b": 0}, {}) == first


def test_a_port_that_was_taken_meanwhile_is_replaced(tmp_path: Path) -> None:
    first = choose_ports(tmp_path / "ports.json", {"a": 0}, {})
    with socket.create_server(("127.0.0.1", first["a"])):
        assert not is_free(first["a"])
        assert choose_ports(tmp_path / "ports.json", {"a": 0}, {})["a"] != first["a"]


def test_the_usual_port_is_tried_first_and_a_fixed_one_is_not_questioned(tmp_path: Path) -> None:
    usual = choose_ports(tmp_path / "one.json", {"a": 0}, {})["a"]
    assert choose_ports(tmp_path / "two.json", {"a": usual}, {}) == {"a": usual}
    assert choose_ports(tmp_path / "two.json", {"a": usual}, {"a": 7}) == {"a": 7}


def test_a_file_that_cannot_be_read_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "ports.json").write_text("{", encoding="utf-8")
    assert choose_ports(tmp_path / "ports.json", {"a": 0}, {})["a"] > 0
