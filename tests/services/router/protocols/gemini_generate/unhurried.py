"""How properties are tried here: on a busy machine too."""

from hypothesis import HealthCheck, settings

unhurried = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
