//! Rate and concurrency limits as values.
