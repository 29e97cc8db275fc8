"""Who runs candidates: takes envelopes out of the transport, runs them, keeps what they did."""
