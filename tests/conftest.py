from hypothesis import HealthCheck, settings

# No test depends on how fast the machine is: examples have no deadline, and slow generation is no fault.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
