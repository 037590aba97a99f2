"""What all tests share."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# A slow machine must not fail a property: time is what `bench/` looks at.
settings.register_profile("kiln", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("soak", parent=settings.get_profile("kiln"), print_blob=True)
settings.load_profile("kiln")
