//! Failover with rescue and races, health, limits, budgets and the retry budget together, in virtual time: seeded worlds of
//! deployments that fail, fall silent, cut, limit and flap, and the invariants that must hold in all of them.
//!
//! 200 seeds in an ordinary run. More: `ROUTER_SIM_SEEDS=10000 cargo test -p router-core --test simulation` (read when the
//! test is compiled; cargo compiles it anew when the number changes).

#[cfg(test)]
mod flight;
#[cfg(test)]
mod purse;
#[cfg(test)]
mod random;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod setting;
#[cfg(test)]
mod upstream;
#[cfg(test)]
mod world;
