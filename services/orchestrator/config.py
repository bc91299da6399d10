"""The orchestrator's settings."""

from typing import Annotated

from msgspec import Meta

from penstock.kit.config import Count, KitConfig, Seconds
from penstock.kit.retry import Backoff
from services.orchestrator.again import Patience


class Config(KitConfig, frozen=True, kw_only=True):
    """agents_file: YAML, see agents.py; "" is agents.yaml in config_dir, which need not be there.
    agents_file_max_bytes: the largest that is read.
    agents_check_every_s: how often the file is looked at for a change.
    runs_active_max: runs that this worker carries out at once; admissions_max: jobs that it admits at once.
    deposits_max: published jobs that are being stored at once; deposits_waiting_max_bytes: of those that wait for it,
    beyond which a publisher is refused; deposits_tenant_per_minute_max: jobs that one tenant may publish to this
    process, beyond which it is told to come again later.
    requests_max: requests of its endpoints that it answers at once, of each.
    job_deadline_s: for a job that names no deadline of its own, from its submission.
    step_tries_max: tries of one step for failures that had no effect; step_unsure_tries_max: for those that may
    have had one, where the step may be run again. step_first_pause_s, step_pause_max_s: the waits between tries.
    step_inline_max_bytes: a larger result of a step is kept as a blob.
    claims_max: claims of a run without a new step, after which it is blocked as poison.
    owner_wait_s: how long an owner may take to answer when an input is handed to it.
    occupied_pause_s: when an input whose run is active elsewhere is looked at again.
    revision_pause_s: when a run whose revision this worker lacks is offered again.
    policy_pause_s: when a job is looked at again that could not be decided, since a service was away.
    park_after_s: when a run all of whose steps wait for people's approval is put away until they have answered.
    lease_every_s: how often this worker says that it lives.
    model_stream_max_bytes: the largest streamed answer of one model call.
    tool_result_max_bytes: what a model is shown of one tool's result, in bytes of text; the rest is cut.
    history_turns_max: turns of a session that a model is given.
    list_max: jobs in one page; events_max: events or frames in one answer.
    """

    agents_file: str = ""
    agents_file_max_bytes: Count = 4 * 1024 * 1024
    agents_check_every_s: Annotated[float, Meta(gt=0)] = 2.0
    runs_active_max: Count = 256
    admissions_max: Count = 64
    deposits_max: Count = 64
    deposits_waiting_max_bytes: Count = 64 * 1024 * 1024
    deposits_tenant_per_minute_max: Count = 6000
    requests_max: Count = 256
    job_deadline_s: Annotated[float, Meta(gt=0)] = 3600.0
    step_tries_max: Count = 12
    step_unsure_tries_max: Count = 3
    step_first_pause_s: Seconds = 0.2
    step_pause_max_s: Seconds = 10.0
    step_inline_max_bytes: Count = 200 * 1024
    claims_max: Count = 5
    owner_wait_s: Annotated[float, Meta(gt=0)] = 3.0
    occupied_pause_s: Annotated[float, Meta(gt=0)] = 2.0
    revision_pause_s: Annotated[float, Meta(gt=0)] = 5.0
    policy_pause_s: Annotated[float, Meta(gt=0)] = 1.0
    park_after_s: Annotated[float, Meta(ge=0)] = 2.0
    lease_every_s: Annotated[float, Meta(gt=0)] = 3.0
    model_stream_max_bytes: Count = 16 * 1024 * 1024
    tool_result_max_bytes: Count = 64 * 1024
    history_turns_max: Count = 50
    list_max: Annotated[int, Meta(ge=1, le=1000)] = 100
    events_max: Annotated[int, Meta(ge=1, le=10_000)] = 2000

    @property
    def patience(self) -> Patience:
        return Patience(
            self.step_tries_max,
            self.step_unsure_tries_max,
            Backoff(first_s=self.step_first_pause_s, most_s=self.step_pause_max_s),
        )
