//! The cost matrix: what a request would cost on each deployment.
