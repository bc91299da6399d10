"""The list of jobs."""

import msgspec
import pytest

from penstock.bus import Bus, BusConfig
from penstock.contracts.jobs import JobView, State
from services.orchestrator.index import JobIndex, is_newer, page


def seen(id: str, state: State = "running", *, created: float = 0.0, epoch: int = 1, steps: int = 0) -> JobView:
    return JobView(id, "chat", state, created, created, steps=steps, epoch=epoch, output=msgspec.Raw(b"1"))


@pytest.mark.parametrize(
    ("kept", "view", "expected"),
    [
        (seen("a"), seen("a", "completed"), False),
        (seen("a", "completed"), seen("a"), True),
        (seen("a", epoch=9), seen("a", steps=5), True),
        (seen("a", steps=2), seen("a", steps=1), True),
        (seen("a", steps=1), seen("a", steps=2), False),
        (seen("a", "denied", epoch=0), seen("a", "accepted", epoch=0), False),
        (seen("a", "completed", epoch=3), seen("a", "cancelled", epoch=2), True),
    ],
)
def test_the_later_view_stays(kept: JobView, view: JobView, expected: bool) -> None:
    assert is_newer(kept, view) is expected


def test_pages_go_from_the_newest_to_the_oldest() -> None:
    views = [seen(f"j{n}", "failed" if n % 2 else "running", created=float(n)) for n in range(5)]
    first = page(views, 2, "", "")
    assert ([view.id for view in first.jobs], first.next) == (["j4", "j3"], "j3")
    second = page(views, 2, first.next, "")
    assert ([view.id for view in second.jobs], second.next) == (["j2", "j1"], "j1")
    third = page(views, 2, second.next, "")
    assert ([view.id for view in third.jobs], third.next) == (["j0"], "")
    assert [view.id for view in page(views, 10, "", "failed").jobs] == ["j3", "j1"]


async def test_a_tenants_list_holds_its_own_jobs_without_their_output(nats_url: str) -> None:
    bus = await Bus.connect(BusConfig(url=nats_url, principal="orchestrator"))
    await bus.prepare()
    index = JobIndex(bus)
    await index.put("acme", seen("a", "completed", epoch=5))
    await index.put("acme", seen("a", "running", epoch=5))
    await index.put("other", seen("b"))
    await index.put("acme-2", seen("c"))
    found = await index.page("acme", 10, "", "")
    assert [(view.id, view.state, len(view.output)) for view in found.jobs] == [("a", "completed", 0)]
    assert await index.get("acme", "b") is None
    await bus.close()
