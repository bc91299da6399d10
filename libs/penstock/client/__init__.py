"""What users import, also as `import penstock`: submit a job, follow it token by token, cancel it, read its trail."""

from penstock.client.follow import Limits
from penstock.client.jobs import job
from penstock.client.order import FINAL_EVENTS
from penstock.client.plane import Penstock, connect
from penstock.client.profile import Profile, ProfileError, find_profile

__all__ = ["FINAL_EVENTS", "Limits", "Penstock", "Profile", "ProfileError", "connect", "find_profile", "job"]
