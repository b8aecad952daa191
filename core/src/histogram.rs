//! The time that replies took, as a histogram that one thread writes.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Upper bounds of the buckets in ns, from 1 µs to 1 s; a last bucket has none.
pub const BOUNDS: [u64; 19] = [
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
];

/// Durations counted by bucket. Only one thread observes, so no atomic addition is needed.
#[derive(Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    /// Sum of the durations in ns.
    total: AtomicU64,
}

/// The sum of several histograms.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Durations {
    /// Number of durations in each bucket, not cumulative.
    pub buckets: [u64; BOUNDS.len() + 1],
    /// Sum of the durations in ns.
    pub total: u64,
}

impl Histogram {
    /// Counts a duration in ns `count` times.
    #[inline]
    pub fn observe(&self, duration: u64, count: u64) {
        let bucket = BOUNDS.partition_point(|bound| *bound < duration);
        add(&self.buckets[bucket], count);
        add(&self.total, duration * count);
    }

    /// Adds this histogram to a sum.
    pub fn add_to(&self, sum: &mut Durations) {
        for (sum, cell) in sum.buckets.iter_mut().zip(&self.buckets) {
            *sum += cell.load(Relaxed);
        }
        sum.total += self.total.load(Relaxed);
    }
}

#[inline]
fn add(cell: &AtomicU64, count: u64) {
    cell.store(cell.load(Relaxed) + count, Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(histograms: &[&Histogram]) -> Durations {
        let mut sum = Durations::default();
        histograms.iter().for_each(|histogram| histogram.add_to(&mut sum));
        sum
    }

    #[test]
    fn duration_is_counted_in_first_bucket_that_holds_it() {
        for (bucket, bound) in BOUNDS.iter().enumerate() {
            let histogram = Histogram::default();
            histogram.observe(*bound, 1);
            histogram.observe(*bound + 1, 1);
            let buckets = sum(&[&histogram]).buckets;
            assert_eq!((buckets[bucket], buckets[bucket + 1]), (1, 1), "{bound} ns");
        }
    }

    #[test]
    fn histograms_are_summed() {
        let (fast, slow) = (Histogram::default(), Histogram::default());
        fast.observe(0, 64);
        fast.observe(1_000, 1);
        slow.observe(1 << 40, 2);
        let found = sum(&[&fast, &slow]);
        assert_eq!((found.buckets[0], found.buckets[BOUNDS.len()]), (65, 2));
        assert_eq!(found.buckets.iter().sum::<u64>(), 67);
        assert_eq!(found.total, 1_000 + 2 * (1 << 40));
    }

    #[test]
    fn bounds_rise_from_a_microsecond_to_a_second() {
        assert!(BOUNDS.is_sorted_by(|a, b| a < b));
        assert_eq!((BOUNDS[0], BOUNDS[BOUNDS.len() - 1]), (1_000, 1_000_000_000));
    }
}
