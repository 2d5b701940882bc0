"""Edge inference with on-device class enrolment."""
