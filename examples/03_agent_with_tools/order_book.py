"""Makes the order book that the tools of this example work on: order_book.py PATH"""

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

ORDERS = (
    ("M-1001", "Meridian", "12 valves", 480.0, "open"),
    ("M-1002", "Meridian", "3 gauges", 96.5, "open"),
    ("M-0990", "Meridian", "1 pump", 1250.0, "paid"),
    ("N-2001", "Northwind", "40 m of pipe", 320.0, "open"),
)


def main(path: Path) -> None:
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as book:
        book.execute("CREATE TABLE orders (number TEXT, customer TEXT, what TEXT, usd REAL, state TEXT)")
        book.executemany("INSERT INTO orders VALUES (?, ?, ?, ?, ?)", ORDERS)
        book.commit()
    print(f"{path}: {len(ORDERS)} orders")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
