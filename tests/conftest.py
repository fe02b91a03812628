"""Property tests on any machine: how long an example takes is no part of what they say."""

from hypothesis import HealthCheck, settings

settings.register_profile("tunebird", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tunebird")
