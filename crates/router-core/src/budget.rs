//! Budget arithmetic on a value: holds, slices and settlement.
