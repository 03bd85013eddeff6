//! Health of deployments: windows, breaker, latency, and the board that holds them.
