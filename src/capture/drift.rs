//! How far a device's clock is from the host's: frames that came, held against the time that they took.
//!
//! A callback is never early and often late, so of every second only the least late one counts, and a straight line is
//! laid through those (least squares). Frames that were lost are guessed by the host's clock, which would hide what is
//! measured: after a loss it begins anew.

use crate::units::Rate;

/// Of so long, the least late callback counts.
const BUCKET_NS: u64 = 1_000_000_000;
/// With fewer there is no answer: two callbacks that are 1 ms late make 100 ppm of ten seconds.
const LEAST_BUCKETS: u64 = 10;

/// Measures one stream. Times are nanoseconds on a clock that does not step.
#[derive(Debug)]
pub struct Drift {
    rate: Rate,
    began_ns: Option<u64>,
    frames: u64,
    bucket: u64,
    /// The least lateness in this bucket, in seconds, and when that was.
    least: Option<(f64, f64)>,
    sums: Sums,
}

/// Of a straight line through the least lateness of each bucket: when `x` and lateness `y`, in seconds.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    count: u64,
    x: f64,
    y: f64,
    xx: f64,
    xy: f64,
}

impl Drift {
    /// For a stream of this nominal rate.
    pub fn new(rate: Rate) -> Drift {
        Drift { rate, began_ns: None, frames: 0, bucket: 0, least: None, sums: Sums::default() }
    }

    /// A callback brought `frames` at `now_ns`; `lost` if some were lost before it, `late` if it is so late that some may
    /// have been. Every second there is a new answer: how much faster the device runs than the host, in parts per million.
    /// Neither allocates nor waits.
    pub fn observe(&mut self, now_ns: u64, frames: usize, lost: bool, late: bool) -> Option<f64> {
        if lost {
            *self = Drift::new(self.rate);
        }
        let began_ns = *self.began_ns.get_or_insert(now_ns);
        let elapsed_ns = now_ns.saturating_sub(began_ns);
        let (at, bucket) = (elapsed_ns as f64 / 1e9, elapsed_ns / BUCKET_NS);
        // What came with the first callback was captured before it.
        self.frames += if elapsed_ns == 0 { 0 } else { frames as u64 };
        if late {
            return None;
        }
        let late = at - self.rate.seconds(self.frames);
        if bucket == self.bucket {
            self.least = Some(self.least.filter(|(least, _)| *least <= late).unwrap_or((late, at)));
            return None;
        }
        let least = self.least.replace((late, at));
        self.bucket = bucket;
        let (late, at) = least?;
        self.sums.add(at, late);
        self.sums.slope().map(|slope| -slope * 1e6)
    }
}

impl Sums {
    fn add(&mut self, x: f64, y: f64) {
        self.count += 1;
        self.x += x;
        self.y += y;
        self.xx += x * x;
        self.xy += x * y;
    }

    fn slope(&self) -> Option<f64> {
        let n = self.count as f64;
        (self.count >= LEAST_BUCKETS).then(|| (n * self.xy - self.x * self.y) / (n * self.xx - self.x * self.x))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said after so long, by a device that is off by `ppm`, whose callbacks of 10 ms are up to 9 ms late.
    fn measured(seconds: u64, ppm: f64) -> Option<f64> {
        let rate = Rate::new(48_000).unwrap();
        let mut drift = Drift::new(rate);
        (0..seconds * 100)
            .filter_map(|n| {
                let due_ns = n as f64 * 1e7 / (1.0 + ppm / 1e6);
                let late_ns = n * 7_919 % 9_001 * 1_000;
                drift.observe(due_ns as u64 + late_ns, 480, false, false)
            })
            .last()
    }

    #[test]
    fn after_a_minute_it_is_right_to_three_ppm_though_callbacks_are_late() {
        for ppm in [-500.0, -20.0, 0.0, 35.0, 500.0] {
            let measured = measured(60, ppm).unwrap();
            assert!((measured - ppm).abs() < 3.0, "{ppm} ppm came out as {measured}");
        }
    }

    #[test]
    fn after_a_few_seconds_it_says_nothing() {
        assert_eq!(measured(9, 500.0), None);
        assert!(measured(12, 500.0).is_some());
    }

    #[test]
    fn a_loss_is_not_taken_for_a_slow_clock() {
        let mut drift = Drift::new(Rate::TELEPHONE);
        let mut said = None;
        for n in 0..12_000_u64 {
            // 50 ms are lost in the middle.
            let lost = n == 6_000;
            let now_ns = (n * 10 + if n >= 6_000 { 50 } else { 0 }) * 1_000_000;
            said = drift.observe(now_ns, 80, lost, false).or(said);
        }
        assert!(said.unwrap().abs() < 1.0, "{said:?}");
    }
    #[test]
    fn callbacks_that_may_be_behind_a_loss_do_not_count_until_that_is_known() {
        let mut drift = Drift::new(Rate::TELEPHONE);
        // A pause of a second, known two seconds after it.
        let said = (0..3_000_u64).filter_map(|n| {
            let now_ns = (n * 10 + if n >= 2_000 { 1_000 } else { 0 }) * 1_000_000;
            drift.observe(now_ns, 80, n == 2_200, (2_000..2_200).contains(&n))
        });
        for said in said {
            assert!(said.abs() < 1.0, "{said}");
        }
    }
}
