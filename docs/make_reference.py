"""Makes the pages of docs/reference that stand in PAGES from the code: python docs/make_reference.py (make docs)."""

from pathlib import Path

import prometheus_client

from docs.cli_page import cli
from docs.settings_page import configuration
from penstock.contracts import stores, subjects
from penstock.contracts.endpoint import Bucket, Call, Event, Journal, Stream, Work
from penstock.kit.metrics import Counter, Histogram, Metrics

FOLDER = Path(__file__).parent / "reference"


def wire() -> str:
    """Every subject with its types, who answers and who may ask."""
    lines = [
        "# The wire",
        "",
        "Made from `libs/penstock/contracts` (subjects, governance) by `make docs`; a test keeps it true.",
        "Bodies are JSON.",
        "",
        "| name | verb | subject | carries | answered or used by | asked or written by |",
        "|---|---|---|---|---|---|",
    ]
    for name, endpoint in subjects.ENDPOINTS.items():
        lines.append("| " + " | ".join([name, *_row(endpoint)]) + " |")
    lines += ["", "## Streams", "", "| stream | subjects | kept | largest message |", "|---|---|---|---|"]
    for store in stores.STORES:
        kept = "work queue" if store.work_queue else "log"
        age = f", {store.max_age_s / 3600:g} h" if store.max_age_s else ""
        size = f", {store.max_bytes // 2**20} MiB" if store.max_bytes else ""
        where = ", in memory" if store.memory else ""
        names = "<br>".join(f"`{subject}`" for subject in store.subjects)
        lines.append(f"| {store.name} | {names} | {kept}{age}{size}{where} | {store.max_msg_bytes // 1024} KiB |")
    return "\n".join(lines) + "\n"


def _row(endpoint: object) -> list[str]:
    if isinstance(endpoint, Call):
        carries = f"{endpoint.request.__name__} → {endpoint.reply.__name__}"
        inside = f"<br>services: `{endpoint.inside.pattern}`" if endpoint.inside is not None else ""
        subject = f"`{endpoint.subject.pattern}`{inside}"
        return ["Call", subject, carries, endpoint.answered_by, ", ".join(endpoint.called_by)]
    if isinstance(endpoint, Stream):
        carries = f"{endpoint.request.__name__} → frames, {endpoint.end.__name__}"
        return ["Stream", f"`{endpoint.subject.pattern}`", carries, endpoint.answered_by, ", ".join(endpoint.called_by)]
    if isinstance(endpoint, Event):
        heard, emitted = ", ".join(endpoint.heard_by), ", ".join(endpoint.emitted_by)
        return ["Event", f"`{endpoint.subject.pattern}`", endpoint.body.__name__, heard, emitted]
    if isinstance(endpoint, Work):
        by = endpoint.consumer.used_by
        return ["Work", f"`{endpoint.subject.pattern}`", endpoint.body.__name__, by, ", ".join(endpoint.assigned_by)]
    if isinstance(endpoint, Journal):
        readers = ", ".join(endpoint.read_by) or ", ".join(endpoint.written_by)
        return ["Journal", f"`{endpoint.subject.pattern}`", "RunEvent", readers, ", ".join(endpoint.written_by)]
    assert isinstance(endpoint, Bucket)
    readers = ", ".join(endpoint.read_by)
    return ["Bucket", f"`{endpoint.name}`", endpoint.body.__name__, readers, ", ".join(endpoint.written_by)]


def metrics() -> str:
    """Every metric: name, kind, labels, meaning."""
    lines = [
        "# Metrics",
        "",
        "Made from `libs/penstock/kit/metrics.py` by `make docs`; a test keeps it true. Every service has these names",
        "at `/metrics`; a name that a service has no use for stays without series.",
        "",
        "| name | kind | labels | meaning |",
        "|---|---|---|---|",
    ]
    registry = Metrics("reference").registry
    rows: dict[str, str] = {}
    for collector in registry._collector_to_names:
        if isinstance(collector, Counter | Histogram):
            labels = ", ".join(collector.labels)
            rows[collector.name] = f"| `{collector.name}` | {collector.kind} | {labels} | {collector.meaning} |"
        elif isinstance(collector, prometheus_client.metrics.MetricWrapperBase):
            name, labels = collector._name, ", ".join(collector._labelnames)
            rows[name] = f"| `{name}` | {collector._type} | {labels} | {collector._documentation} |"
    lines += [rows[name] for name in sorted(rows, key=lambda name: name.removesuffix("_total"))]
    return "\n".join(lines) + "\n"


PAGES = {"wire.md": wire, "metrics.md": metrics, "cli.md": cli, "configuration.md": configuration}


def main() -> None:
    """Writes the pages."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
